"""One file for each service of Azure: its resource types, and what its own hosts answer."""

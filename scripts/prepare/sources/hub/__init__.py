"""Models of the hub, and which files of a model are needed, there and in a folder."""

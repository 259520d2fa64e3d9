"""Azure Functions, against the fake of Azure on loopback."""

"""AzureML, against the fake of Azure on loopback."""

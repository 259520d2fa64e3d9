"""Autoscaling of AzureML's deployments."""

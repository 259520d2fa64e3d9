"""Autoscaling of a deployment: a setting of Azure Monitor, one for each deployment."""

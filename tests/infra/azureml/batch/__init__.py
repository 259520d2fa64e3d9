"""Batch jobs of AzureML."""

"""Deploying to MLflow's registry."""

"""What runs on the user's machine without a cloud: prepare a model, package it for a target,
rehearse the package."""

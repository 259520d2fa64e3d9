"""The settings of model_spec.json: what a source's files and the user's say, resolved."""

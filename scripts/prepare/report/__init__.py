"""What preparing a model leaves to read: model_spec.json, report.md and its picture."""

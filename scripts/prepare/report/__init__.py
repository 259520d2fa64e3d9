"""What preparing a model leaves to read: report.md and its plot."""

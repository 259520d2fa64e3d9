"""How good answers are: published metrics, each task's own, and when two answers are the same."""

"""Tiny models with random weights, one for each pair of architecture and head that people have:
built and saved by each major version of transformers, prepared under each, served, and compared
with the library that made them. `python -m tests.zoo` writes docs/models.md."""

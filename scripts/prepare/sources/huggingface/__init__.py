"""Models of transformers and sentence-transformers: loaded, exported, and asked as their
libraries do. The only importers of these libraries."""

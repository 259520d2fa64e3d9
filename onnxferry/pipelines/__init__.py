"""DeepSparse's interface over the scoring core, for those who come from there, and what the local
server needs to serve DeepSparse's configurations and clients."""

"""prepare --tune: the engine options that are fastest for a model on this host, by measurement."""

"""Which variant is chosen: criteria, candidates, latency, mixed precision."""

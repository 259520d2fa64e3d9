"""Many rows scored on this machine or on a cluster: `onnxferry score`. What a worker needs imports
little: arrow_batches."""

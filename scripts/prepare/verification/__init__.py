"""Whether an ONNX model still gives the answers of its source. Raises PrepareError where a model
refuses a request."""

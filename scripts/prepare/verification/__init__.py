"""Whether an ONNX model still gives the answers of its source."""

"""What a model is read from: a checkpoint, a PyTorch module or an ONNX file."""

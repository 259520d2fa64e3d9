"""What a model is read from: a checkpoint, a PyTorch module or an ONNX file. All here raise
UsageError that names the flag or file that is wrong, and PrepareError for what the tools cannot do
with the model."""

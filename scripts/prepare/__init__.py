"""A trained model in, a checked model directory out: export, quantise, verify against the source
model, write.

    python -m scripts.prepare SOURCE --out DIR

torch, transformers, optimum and onnx are imported when a stage needs them, so that the face is
cheap.
"""

from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.pipeline import prepare

__all__ = ["Options", "prepare"]

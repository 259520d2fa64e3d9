"""The newest ONNX format that each onnxruntime of scripts/package/pins.txt loads."""

from __future__ import annotations

# onnxruntime's version -> the newest IR version and opset (measured)
ENGINES = {"1.31.1": (13, 26), "1.23.2": (11, 23)}
MAX_IR, MAX_OPSET = map(max, zip(*ENGINES.values(), strict=True))


def not_loaded_by(ir_version: int, opset: int) -> list[str]:
    """Those of ENGINES that do not load a graph."""
    return [version for version, (ir, ops) in ENGINES.items() if ir_version > ir or opset > ops]

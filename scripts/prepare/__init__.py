"""A trained model in, a checked model directory out: `onnxferry prepare SOURCE --out DIR`.

pipeline.py goes through the rooms in this order: sources/ (what the model is read from), variants/
(faster or smaller forms of it), verification/ (are answers still the source's?), selection/ (which
variant is chosen), report/. The ML libraries are imported when a stage needs them.
"""

from __future__ import annotations

from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.pipeline import prepare

__all__ = ["Options", "prepare"]

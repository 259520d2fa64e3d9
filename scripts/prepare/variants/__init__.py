"""Variants: faster or smaller forms of the exported graph, each a file of its own.

- table: every variant and what makes it; begin here
- applicability: why a variant is not tried for a CPU kind or a graph
- fusion: the optimised float32 graph, of
  attention_fusion, attention_equivalence, unfused_attention, rotary_fusion, relative_positions,
  constant_folding, convolution_folding; encoder_architecture: what it should hold
- int8_linear, int8_embedding, smoothing: int8 for transformers
- int8_convolution, qdq_placement: int8 for networks of convolutions
- float16: weights of half the size
- operator_groups: what mixed precision may keep in float32
- the others: what these share
"""

# before any module here imports onnxruntime: it turns off telemetry, which onnxruntime reads once
from __future__ import annotations

import onnxferry.scoring.engine  # noqa: F401

"""Fused operators: the exported graph with attention, Gelu and LayerNormalization as one operator
each, or with what can be part of a convolution folded into it.

None of it depends on the machine that it is made on: attention is ours (attention_fusion), the rest
is onnxruntime's Python optimiser at level 0, which does not run its C++ one. SkipLayerNormalization
and EmbedLayerNormalization are left out: the CPU kernel of the first took 8.1 ms where Add and
LayerNormalization took 1.9 ms (12 of 1 x 176 x 768).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx_ir as ir
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.applicability import inventory
from onnxferry.scripts.prepare.variants.attention_fusion import fuse_attention, unfused
from onnxferry.scripts.prepare.variants.convolution_folding import fold
from onnxferry.system.library_output import silence_libraries

# what is counted: the ends of the operators' names, such as BiasGelu and MultiHeadAttention
KINDS = ("Attention", "Gelu", "LayerNormalization")
_LEFT_OUT = ("attention", "skip_layer_norm", "bias_skip_layer_norm", "embed_layer_norm")
_NOT_FUSED = (
    "they are not plain scaled dot-product attention with a padding mask (relative positions, a"
    " causal mask or a window are of this kind), or the exporter wrote them in a form that is not"
    " known; they run as single operators"
)

# as transformers names them
_SIZES = {"num_hidden_layers": "n_layers", "num_attention_heads": "n_heads", "hidden_size": "dim"}


@dataclass(frozen=True)
class Architecture:
    """What a configuration tells of a transformer encoder; `activation` by its name in
    transformers."""

    num_layers: int
    activation: str = "gelu"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Architecture | None:
        """From a transformers configuration; None where it is not that of an encoder."""
        sizes = [config.get(name, config.get(other)) for name, other in _SIZES.items()]
        if not all(isinstance(size, int) for size in sizes):
            return None
        activation = config.get("hidden_act") or config.get("activation") or cls.activation
        return cls(sizes[0], str(activation))

    def expected(self) -> dict[str, int]:
        """How many fused operators of each kind there should be at least."""
        gelu = {"Gelu": self.num_layers} if "gelu" in self.activation else {}
        return {"Attention": self.num_layers, **gelu, "LayerNormalization": 2 * self.num_layers}


@dataclass(frozen=True)
class Fusion:
    """The fused `graph` (None: nothing could be fused), how many operators of each kind it holds,
    how many the architecture should have at least (empty: it is not known), and a sentence for each
    that is missing."""

    graph: Path | None
    found: Mapping[str, int]
    expected: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


def fuse(exported: Path, target: Path, architecture: Architecture | None = None) -> Fusion:
    """Write `exported` with fused operators as `target`; nothing where there is nothing to fuse.

    Raises PrepareError for a file that is not readable as ONNX.
    """
    model = onnx_graph.read(exported)
    held, had, operators = inventory(model), _counts(model.graph), _operators(model.graph)
    if held.foreign or held.quantised:
        return Fusion(None, {})
    model = fold(exported) if held.convolutional else model
    folded, newer = operators - _operators(model.graph), onnx_graph.opset(model) > held.opset
    fuse_attention(model.graph)
    model = _fused(model)
    found = _counts(model.graph)
    changed = folded > 0 or newer or any(found[kind] > had[kind] for kind in found)
    if changed:
        onnx_graph.save(model, target)
    found |= {"folded into others": folded} if folded else {}
    expected = architecture.expected() if architecture else {}
    missing = _missing(found, expected, unfused(model.graph))
    return Fusion(target if changed else None, found, expected, tuple(missing))


def _counts(graph: ir.Graph) -> dict[str, int]:
    return {kind: sum(1 for node in graph if node.op_type.endswith(kind)) for kind in KINDS}


def _operators(graph: ir.Graph) -> int:
    return sum(1 for node in graph if node.op_type != "Constant")


def _fused(model: ir.Model) -> ir.Model:
    """With onnxruntime's own fusions of Gelu and LayerNormalization."""
    options = FusionOptions("bert")
    for name in _LEFT_OUT:
        setattr(options, f"enable_{name}", False)
    proto = onnx_graph.to_proto(model)
    with silence_libraries():
        result = optimizer.optimize_model(proto, "bert", opt_level=0, optimization_options=options)
    return onnx_graph.from_proto(result.model)


def _missing(found: Mapping[str, int], expected: Mapping[str, int], left: int) -> list[str]:
    sentences = [
        f"{wanted - found[kind]} of {wanted} {kind} operators are not fused: their form in the"
        " graph is not known"
        for kind, wanted in expected.items()
        if kind != "Attention" and found[kind] < wanted
    ]
    fused, wanted = found["Attention"], expected.get("Attention", 0)
    count = max(left, wanted - fused)
    if count:
        total = max(count + fused, wanted)
        sentences.insert(0, f"{count} of {total} attentions are not fused: {_NOT_FUSED}")
    return sentences

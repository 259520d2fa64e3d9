"""Fused operators: the exported graph with attention, Gelu and LayerNormalization as one operator
each, or with what can be part of a convolution folded into it.

None of it depends on the machine that it is made on: attention is ours (attention.py), the rest is
onnxruntime's Python optimiser at level 0, which does not run its C++ one. SkipLayerNormalization
and EmbedLayerNormalization are left out: the CPU kernel of the first took 8.1 ms where Add and
LayerNormalization took 1.9 ms (12 of 1 x 176 x 768).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

from onnxferry.scripts.prepare.variants.applicability import inventory
from onnxferry.scripts.prepare.variants.attention import fuse_attention, unfused
from onnxferry.scripts.prepare.variants.folding import fold
from onnxferry.scripts.prepare.variants.onnx_graph import MICROSOFT, Graph
from onnxferry.system.library_output import silence_libraries

KINDS = {  # what is counted -> the operators that are of this kind
    "Attention": ("Attention", "MultiHeadAttention"),
    "Gelu": ("Gelu", "BiasGelu", "FastGelu", "QuickGelu"),
    "LayerNormalization": (
        "LayerNormalization",
        "SkipLayerNormalization",
        "EmbedLayerNormalization",
    ),
}
_LEFT_OUT = ("attention", "skip_layer_norm", "bias_skip_layer_norm", "embed_layer_norm")


@dataclass(frozen=True)
class Architecture:
    """A transformer encoder as its configuration tells of it; `activation` by its name in
    transformers."""

    num_layers: int
    num_heads: int
    hidden_size: int
    activation: str = "gelu"


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
    held = inventory(exported)
    if held.foreign or held.quantised:
        return Fusion(None, {})
    before = Graph.read(exported)
    graph = _folded(exported, target) if held.convolutional else Graph.read(exported)
    folded = _operators(before) - _operators(graph)
    fuse_attention(graph)
    left = unfused(graph)
    fused = _optimised(graph)
    found = _found(fused)
    more = any(found[kind] > count for kind, count in _found(before).items())
    changed = more or folded > 0 or graph.opset > before.opset
    if changed:
        fused.save(target)
    found |= {"folded into others": folded} if folded else {}
    expected = _expected(architecture)
    return Fusion(
        target if changed else None, found, expected, tuple(_missing(found, expected, left))
    )


def _folded(exported: Path, target: Path) -> Graph:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        path = Path(folder) / "folded.onnx"
        fold(exported, path)
        return Graph.read(path)


def _found(graph: Graph) -> dict[str, int]:
    return {
        kind: sum(1 for node in graph.nodes if node.op_type in ops) for kind, ops in KINDS.items()
    }


def _operators(graph: Graph) -> int:
    return sum(1 for node in graph.nodes if node.op_type != "Constant")


def _optimised(graph: Graph) -> Graph:
    """With onnxruntime's own fusions of Gelu and LayerNormalization."""
    options = FusionOptions("bert")
    for name in _LEFT_OUT:
        setattr(options, f"enable_{name}", False)
    with silence_libraries():
        result = optimizer.optimize_model(
            graph.whole(), "bert", opt_level=0, optimization_options=options
        )
    fused = Graph(result.model)
    fused.uses(MICROSOFT)
    return fused


def _expected(architecture: Architecture | None) -> dict[str, int]:
    if architecture is None:
        return {}
    layers = architecture.num_layers
    gelu = {"Gelu": layers} if "gelu" in architecture.activation else {}
    return {"Attention": layers, **gelu, "LayerNormalization": 2 * layers}


def _missing(found: Mapping[str, int], expected: Mapping[str, int], left: int) -> list[str]:
    sentences = [
        f"{wanted - found[kind]} of {wanted} {kind} operators are not fused: their form in the"
        " graph is not known"
        for kind, wanted in expected.items()
        if kind != "Attention" and found[kind] < wanted
    ]
    count = max(left, expected.get("Attention", 0) - found["Attention"])
    if count:
        total = max(count + found["Attention"], expected.get("Attention", 0))
        sentences.insert(0, f"{count} of {total} attentions are not fused: {_WHY}")
    return sentences


_WHY = (
    "they are not plain scaled dot-product attention with a padding mask (relative positions, a"
    " causal mask or a window are of this kind), or the exporter wrote them in a form that is not"
    " known; they run as single operators"
)

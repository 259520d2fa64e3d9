"""The optimised float32 graph: attention, rotary positions, Gelu and LayerNormalization as one
operator each, relative positions cut to a text's, what weights alone make computed, the first token
taken early; or what can be part of a convolution folded into it.

The same on every machine: Gelu and LayerNormalization are by onnxruntime's Python optimiser at
level 0, which does not run its C++ one, the rest is ours. Without SkipLayerNormalization and
EmbedLayerNormalization: the first takes four times as long as what it replaces. Without
MultiHeadAttention, which was 0.92 to 1.05 times as fast as the operators in its place.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnx_ir as ir
from onnx_ir.passes import common
from onnxruntime.transformers import optimizer
from onnxruntime.transformers.fusion_options import FusionOptions

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.applicability import inventory
from onnxferry.scripts.prepare.variants.attention_fusion import fuse_attention, unfused
from onnxferry.scripts.prepare.variants.constant_folding import fold_constants
from onnxferry.scripts.prepare.variants.convolution_folding import fold
from onnxferry.scripts.prepare.variants.encoder_architecture import Architecture
from onnxferry.scripts.prepare.variants.first_token import take_first_early
from onnxferry.scripts.prepare.variants.relative_positions import cut_positions
from onnxferry.scripts.prepare.variants.rotary_fusion import fuse_rotary
from onnxferry.scripts.prepare.variants.unfused_attention import UNKNOWN, causes, sentences
from onnxferry.system.library_output import silence_libraries

# the ends of the names of what is counted, such as BiasGelu
KINDS = ("Attention", "RotaryEmbedding", "Gelu", "LayerNormalization")
_LEFT_OUT = ("attention", "skip_layer_norm", "bias_skip_layer_norm", "embed_layer_norm")
READ = 2**20  # bytes; the fusions read scalars and biases, and no larger weights


@dataclass(frozen=True)
class Fusion:
    """The fused `graph` (None: nothing could be fused), how many operators of each kind it holds
    and should hold at least (empty: not known), a sentence for each kind that misses some, and for
    each kind of attention that has no operator (`single`)."""

    graph: Path | None
    found: Mapping[str, int]
    expected: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    single: tuple[str, ...] = ()


def fuse(exported: Path, target: Path, architecture: Architecture | None = None) -> Fusion:
    """Write `exported` with fused operators as `target`, if there are any. Raises PrepareError for
    what is not readable as ONNX."""
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        return _fuse(exported, target, architecture, Path(folder))


def _fuse(exported: Path, target: Path, architecture: Architecture | None, scratch: Path) -> Fusion:
    model = onnx_graph.read(exported)
    held, had, operators = inventory(model), _counts(model.graph), _operators(model.graph)
    if held.forbidden:
        return Fusion(None, {})
    model = fold(exported, scratch) if held.convolutional else model
    tokens = onnx_graph.of_rank(model, 3)
    folded, newer = operators - _operators(model.graph), onnx_graph.opset(model) > held.opset
    more = {"folded into others": folded, **_ours(model)}
    model = _fused(model)
    more["linear layers for the first token alone"] = take_first_early(model.graph, tokens)
    common.RemoveUnusedNodesPass()(model)  # the form that was not taken
    expected = architecture.expected() if architecture else {}
    found = {k: n for k, n in _counts(model.graph).items() if n or k in (*expected, KINDS[0])}
    more = {name: count for name, count in more.items() if count > 0}
    left = causes(model.graph, unfused(model.graph))
    total = found["Attention"] + sum(left.values())
    kept = tuple(_missing(found, expected, left)), tuple(sentences(left, total))
    if not more and not newer and all(found[kind] <= had[kind] for kind in found):
        return Fusion(None, found, expected, *kept)
    onnx_graph.save(model, target)
    return Fusion(target, found | more, expected, *kept)


def _ours(model: ir.Model) -> dict[str, int]:
    """Fuse what onnxruntime's optimiser does not; what is counted by another name than its own."""
    graph = model.graph
    computed = fold_constants(graph, onnx_graph.opset(model))
    fuse_rotary(graph)
    fuse_attention(graph)
    return {"computed from weights alone": computed, "relative positions cut": cut_positions(graph)}


def _counts(graph: ir.Graph) -> dict[str, int]:
    return {kind: sum(1 for node in graph if node.op_type.endswith(kind)) for kind in KINDS}


def _operators(graph: ir.Graph) -> int:
    return sum(1 for node in graph if node.op_type != "Constant")


def _fused(model: ir.Model) -> ir.Model:
    """With onnxruntime's fusions of Gelu and LayerNormalization."""
    options = FusionOptions("bert")
    for name in _LEFT_OUT:
        setattr(options, f"enable_{name}", False)
    proto, weights = onnx_graph.detached(model, READ)
    with silence_libraries():
        result = optimizer.optimize_model(proto, "bert", opt_level=0, optimization_options=options)
    return onnx_graph.attached(result.model, weights)


def _missing(
    found: Mapping[str, int], expected: Mapping[str, int], left: Mapping[str, int]
) -> list[str]:
    short = {kind: wanted - found[kind] for kind, wanted in expected.items()}
    known = sum(left.values()) - left.get(UNKNOWN, 0)
    count = max(left.get(UNKNOWN, 0), short.pop("Attention", 0) - known)
    total = count + known + found["Attention"]
    attentions = [f"{count} of {total} attentions are not fused: {UNKNOWN}"] if count > 0 else []
    return attentions + [
        f"{few} of {expected[kind]} {kind} operators are not fused: {UNKNOWN}"
        for kind, few in short.items()
        if few > 0
    ]

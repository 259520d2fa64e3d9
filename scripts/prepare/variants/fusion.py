"""The optimised float32 graph: attention, Gelu and LayerNormalization as one operator each, or what
can be part of a convolution folded into it.

The same on every machine: attention is ours (attention_fusion), the rest is onnxruntime's Python
optimiser at level 0, which does not run its C++ one. Without SkipLayerNormalization and
EmbedLayerNormalization: the first takes four times as long as what it replaces.
"""

from __future__ import annotations

import tempfile
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

# the ends of the names of what is counted, such as BiasGelu
KINDS = ("Attention", "Gelu", "LayerNormalization")
_LEFT_OUT = ("attention", "skip_layer_norm", "bias_skip_layer_norm", "embed_layer_norm")
READ = 2**20  # bytes; the fusions read scalars and biases, and no larger weights
# as transformers names them
_SIZES = {"num_hidden_layers": "n_layers", "num_attention_heads": "n_heads", "hidden_size": "dim"}


@dataclass(frozen=True)
class Architecture:
    """A transformer encoder; `activation` by its name in transformers."""

    num_layers: int
    activation: str = "gelu"

    @classmethod
    def of(cls, config: Mapping[str, Any]) -> Architecture | None:
        """From a transformers configuration; None where it is no encoder's."""
        sizes = [config.get(name, config.get(other)) for name, other in _SIZES.items()]
        if not all(isinstance(size, int) for size in sizes):
            return None
        activation = config.get("hidden_act") or config.get("activation") or cls.activation
        return cls(sizes[0], str(activation))

    def expected(self) -> dict[str, int]:
        """The least number of fused operators of each kind."""
        gelu = {"Gelu": self.num_layers} if "gelu" in self.activation else {}
        return {"Attention": self.num_layers, **gelu, "LayerNormalization": 2 * self.num_layers}


@dataclass(frozen=True)
class Fusion:
    """The fused `graph` (None: nothing could be fused), how many operators of each kind it holds
    and should hold at least (empty: not known), and a sentence for each kind that misses some."""

    graph: Path | None
    found: Mapping[str, int]
    expected: Mapping[str, int] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


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
    folded, newer = operators - _operators(model.graph), onnx_graph.opset(model) > held.opset
    fuse_attention(model.graph)
    model = _fused(model)
    found = _counts(model.graph)
    expected = architecture.expected() if architecture else {}
    missing = tuple(_missing(found, expected, unfused(model.graph)))
    if folded <= 0 and not newer and all(found[kind] <= had[kind] for kind in KINDS):
        return Fusion(None, found, expected, missing)
    onnx_graph.save(model, target)
    found |= {"folded into others": folded} if folded else {}
    return Fusion(target, found, expected, missing)


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


def _missing(found: Mapping[str, int], expected: Mapping[str, int], left: int) -> list[str]:
    short = {kind: wanted - found[kind] for kind, wanted in expected.items()}
    count = max(left, short.pop("Attention", 0))
    total = count + found["Attention"]
    form = "are not fused: relative positions, a causal mask, a window or an unknown form"
    attentions = [f"{count} of {total} attentions {form}"] if count else []
    return attentions + [
        f"{few} of {expected[kind]} {kind} operators are not fused: an unknown form"
        for kind, few in short.items()
        if few > 0
    ]

"""What is not worth trying: for a kind of CPU, or for what a graph holds."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass

import onnx_ir as ir

from onnxferry.scoring import cpu
from onnxferry.scripts.prepare.options import ANY
from onnxferry.scripts.prepare.variants import float16, onnx_graph
from onnxferry.scripts.prepare.variants.convolution_folding import MIN_OPSET, OLD_OPSET
from onnxferry.scripts.prepare.variants.linear_layers import linear_layers
from onnxferry.scripts.prepare.variants.variant import Method, Variant, VariantInputs

# shares of the weights from which on convolutions and linear layers are quantised
CONVOLUTIONAL, MIN_SHARE = 0.1, 0.5
_QUANTISED = ("Quantize", "QLinear", "Integer", "QAttention", "QGemm", "NBits", "BlockQuant")


@dataclass(frozen=True)
class GraphInventory:
    """Numbers in the weights of linear layers and of convolutions, whether any weight is worth
    storing as float16, and what forbids to change the graph ("": nothing)."""

    linear: int
    convolution: int
    halvable: bool
    forbidden: str
    opset: int

    @property
    def convolutional(self) -> bool:
        """Whether convolutions are worth quantising."""
        return self.share(self.convolution) >= CONVOLUTIONAL

    def share(self, part: int) -> float:
        """`part` as a share of all weights of linear layers and convolutions."""
        return part / max(self.linear + self.convolution, 1)


def inventory(model: ir.Model) -> GraphInventory:
    """What a model's main graph holds."""
    graph = model.graph
    weights = [value.const_value for value in graph.initializers.values()]
    halvable = any(tensor and tensor.size >= float16.MIN_SIZE for tensor in weights)
    linear, convolution = linear_layers(graph), (n for n in graph if n.op_type == "Conv")
    opset, forbidden = onnx_graph.opset(model), _forbidden(graph)
    return GraphInventory(_size(linear), _size(convolution), halvable, forbidden, opset)


def skipped(variant: Variant, kind: str, inputs: VariantInputs) -> str | None:
    """Why `variant` is not tried for CPUs of `kind` (or ANY) or for this graph; None when it is.
    Raises ValueError for an unknown kind."""
    if kind not in (ANY, *cpu.KINDS):
        raise ValueError(f"cpu: expected one of {', '.join((ANY, *cpu.KINDS))}, got {kind!r}")
    reason = _unfit(variant.method, inputs) if variant.method else None
    return reason or variant.not_on.get(kind, "").format(kind) or None


def _forbidden(graph: ir.Graph) -> str:
    strings = any(value.dtype == ir.DataType.STRING for value in graph.inputs)
    if strings or any(node.domain == "ai.onnx.ml" for node in graph):
        return "the graph has strings or operators of ai.onnx.ml: it is left as it is"
    if any(word in node.op_type for node in graph for word in _QUANTISED):
        return "the graph is quantised already: it is left as it is"
    return ""


@functools.lru_cache(maxsize=1)
def _inventory(inputs: VariantInputs) -> GraphInventory:
    return inventory(onnx_graph.read(inputs.best))


def _unfit(method: Method, inputs: VariantInputs) -> str | None:
    """Why a method does not go with a graph."""
    held = _inventory(inputs)
    if held.forbidden:
        return held.forbidden
    if method == "fused":
        return None if inputs.optimised else "no operators of the graph could be fused"
    if method == "half":
        return None if held.halvable else "the weights are too small for their size to matter"
    if method in ("static", "convolution") and not inputs.calibration:
        return "there are no inputs to measure the activations on"
    return _uncovered(held, method)


def _uncovered(held: GraphInventory, method: Method) -> str | None:
    """Why int8 would not reach enough of the weights."""
    if method == "convolution":
        part, least, name = held.convolution, CONVOLUTIONAL, "convolutions"
    else:
        part, least, name = held.linear, MIN_SHARE, "linear layers"
    if not part:
        return f"the graph has no {name} with constant weights"
    if method == "convolution" and held.opset < MIN_OPSET:
        return OLD_OPSET.format(held.opset)
    share = held.share(part)
    return None if share >= least else f"{name} hold only {share:.0%} of the weights"


def _size(layers: Iterable[ir.Node]) -> int:
    """Numbers in the constant weights of `layers`, shared ones once."""
    held = [onnx_graph.weight(value) for value in {node.inputs[1] for node in layers}]
    return sum(int(weight.tensor.size) for weight in held if weight is not None)

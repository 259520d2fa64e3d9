"""What is not worth trying: for a kind of CPU, or for what a graph holds."""

from __future__ import annotations

import functools
import math
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from onnx import TensorProto

from onnxferry.scripts.prepare.variants.float16 import LEAST as LEAST_HALF
from onnxferry.scripts.prepare.variants.folding import OPSET
from onnxferry.scripts.prepare.variants.linear import linears
from onnxferry.scripts.prepare.variants.onnx_graph import Graph
from onnxferry.scripts.prepare.variants.variant_inputs import Material

# the share of the weights in convolutions from which on a graph counts as one of those
CONVOLUTIONAL = 0.1
# of the weights: linear layers that hold less are quantised with the convolutions only
LEAST_SHARE = 0.5
_QUANTISED = ("Quantize", "QLinear", "Integer", "QAttention", "QGemm", "NBits", "BlockQuant")

OVERFLOW = (
    "{cpu} adds two products of uint8 and int8 in 16 bits, which weights of 8 bits overflow; tried"
    " with 7 bits"
)
GIVEN_AWAY = (
    "{cpu} does not overflow with weights of 8 bits: with 7 bits a bit would be given away for"
    " nothing"
)
SAME = "on {cpu} uint8 weights give the same numbers as int8 weights, no faster"
SLOWER = "on {cpu} uint8 weights give the same numbers as int8 weights, at half the speed"
CPU_REASONS = {  # a word of the variant's name -> CPU kind -> why it is not tried there
    "full": {"avx2": OVERFLOW, "avx512": OVERFLOW},
    "reduced": {"avx512-vnni": GIVEN_AWAY, "arm64": GIVEN_AWAY},
    "u8u8": {"avx512-vnni": SLOWER, "arm64": SAME},
}


@dataclass(frozen=True)
class Inventory:
    """What a graph holds: numbers in weights of linear layers, of convolutions, and of those that
    can be halved; whether it is quantised already, or has parts that are no tensors of numbers."""

    linear: int
    convolution: int
    halved: int
    quantised: bool
    foreign: bool
    opset: int

    @property
    def convolutional(self) -> bool:
        return self.share(self.convolution) >= CONVOLUTIONAL

    def share(self, part: int) -> float:
        return part / max(self.linear + self.convolution, 1)


def inventory(path: Path) -> Inventory:
    return _inventory(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=4)
def _inventory(path: Path, _: int) -> Inventory:
    graph = Graph.read(path)
    ops = Counter(node.op_type for node in graph.nodes)
    sizes = {t.name: math.prod(t.dims) for t in graph.model.graph.initializer}
    weights = {node.input[1] for node in linears(graph)}
    convolutions = {node.input[1] for node in graph.nodes if node.op_type == "Conv"}
    strings = any(i.type.tensor_type.elem_type == TensorProto.STRING for i in graph.inputs)
    return Inventory(
        sum(_size(graph, name) for name in weights),
        sum(sizes.get(name, 0) for name in convolutions),
        sum(size for size in sizes.values() if size >= LEAST_HALF),
        any(word in op for op in ops for word in _QUANTISED),
        strings or any(node.domain == "ai.onnx.ml" for node in graph.nodes),
        graph.opset,
    )


def _size(graph: Graph, name: str) -> int:
    value = graph.constant(name)
    return 0 if value is None else value.size


def unfit(method: str, material: Material) -> str | None:
    """Why a method (linear, static, convolution, half, fused) does not go with a graph."""
    held = inventory(material.best)
    if held.foreign:
        return (
            "the graph has strings or operators of classical machine learning (ai.onnx.ml): it is"
            " left as it is"
        )
    if held.quantised:
        return "the graph is quantised already: it is left as it is"
    if method == "fused":
        return None if material.optimised else "no operators of the graph could be fused"
    if method == "half":
        return None if held.halved else "the weights are too small for their size to matter"
    if method in ("static", "convolution") and not material.calibration:
        return "there are no inputs to measure the activations on"
    return _uncovered(held, method)


def _uncovered(held: Inventory, method: str) -> str | None:
    if method == "convolution":
        part, least, name = held.convolution, CONVOLUTIONAL, "convolutions"
    else:
        part, least, name = held.linear, LEAST_SHARE, "linear layers"
    if not part:
        return f"the graph has no {name} with constant weights"
    if method == "convolution" and held.opset < OPSET:
        return (
            f"the graph has opset {held.opset}; int8 convolutions need {OPSET} or more: export it"
            " again"
        )
    return (
        None
        if held.share(part) >= least
        else f"{name} hold only {held.share(part):.0%} of the weights"
    )


def unfit_cpu(name: str, cpu: str) -> str | None:
    """Why an int8 variant is not for a kind of CPU."""
    bits = next((word for word in ("reduced", "u8u8") if word in name), "full")
    reason = CPU_REASONS[bits].get(cpu)
    return reason.format(cpu=cpu) if reason else None

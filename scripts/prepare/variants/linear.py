"""Linear layers in int8: MatMul, Gemm and Attention whose weights are constants.

Weights are quantised per output column, symmetric around zero. Activations become uint8, with a
scale that each run takes from its own numbers (dynamic), or with one that was measured on real
inputs (static): then a row's result does not depend on the other rows of its run. The operators are
onnxruntime's own (com.microsoft), on every CPU the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import helper

from onnxferry.scripts.prepare.variants.calibration import Seen
from onnxferry.scripts.prepare.variants.onnx_graph import MICROSOFT, Graph, attributes

Observed = Mapping[str, Seen]
"""Tensor -> what was seen in it."""


@dataclass(frozen=True)
class Form:
    """How weights are stored: whole numbers from -`limit` to `limit`, as int8 or, shifted by 128,
    as uint8."""

    limit: int = 127
    signed: bool = True


FULL = Form()
UNSIGNED = Form(signed=False)
REDUCED = Form(limit=64)  # 255 * 64 * 2, two products, fits the 16 bits that AVX2 adds them in


@dataclass(frozen=True)
class Quantised:
    """A tensor's names after quantisation: the whole numbers, their scale and their zero point."""

    values: str
    scale: str
    zero: str


def linears(graph: Graph) -> list[Any]:
    """The operators that can be quantised, in the order of the graph."""
    return [node for node in graph.nodes if is_linear(graph, node)]


def inputs(graph: Graph) -> dict[str, int]:
    """The tensors whose range static quantisation needs, and the axis of their channels."""
    return {node.input[0]: -1 for node in linears(graph)}


def quantise(graph: Graph, keep: frozenset[str], form: Form, seen: Observed | None = None) -> None:
    """Put int8 in the place of the linear layers that are not in `keep`; static where `seen` is
    given."""
    replacements: dict[str, Sequence[Any]] = {}
    done: dict[str, Quantised] = {}
    for node in linears(graph):
        if node.name in keep:
            continue
        x = node.input[0]
        added = [] if x in done else [_activations(graph, x, seen)]
        done.setdefault(x, Quantised(f"{x}_quantised", f"{x}_scale", f"{x}_zero"))
        replacements[node.name] = [*added, _EMITTERS[node.op_type](graph, node, done[x], form)]
    graph.uses(MICROSOFT)
    graph.replace(replacements)


def is_linear(graph: Graph, node: Any) -> bool:
    """Whether the weights are one matrix of float32 constants, and the rest is as the int8 operator
    has it."""
    if (
        node.op_type not in _EMITTERS
        or graph.is_constant(node.input[0])
        or not graph.is_constant(node.input[1])
    ):
        return False
    if node.op_type == "Gemm" and not _plain(graph, node):
        return False
    weights = graph.constant(node.input[1])
    return weights is not None and weights.ndim == 2 and weights.dtype == np.float32


def _plain(graph: Graph, node: Any) -> bool:
    """Whether a Gemm is a product and at most a bias of one number a column."""
    given = {"alpha": 1.0, "beta": 1.0, "transA": 0, **attributes(node)}
    bias = graph.constant(node.input[2]) if len(node.input) > 2 and node.input[2] else np.zeros(1)
    return (
        given["alpha"] == given["beta"] == 1.0
        and not given["transA"]
        and bias is not None
        and bias.ndim == 1
    )


def _activations(graph: Graph, x: str, seen: Observed | None) -> Any:
    """The node that makes uint8 of the tensor `x`."""
    names = [f"{x}_quantised", f"{x}_scale", f"{x}_zero"]
    if seen is None:
        return helper.make_node("DynamicQuantizeLinear", [x], names, f"{x}_quantise")
    scale, zero = seen[x].scale()
    graph.add(names[1], np.float32(scale))
    graph.add(names[2], np.uint8(zero))
    return helper.make_node("QuantizeLinear", [x, *names[1:]], names[:1], f"{x}_quantise")


def _weights(graph: Graph, name: str, transposed: bool, form: Form) -> Quantised:
    """The stored weights, of shape [inputs, outputs]; once for all layers that share them."""
    key = f"{name}_transposed" if transposed else name
    done = Quantised(f"{key}_quantised", f"{key}_scale", f"{key}_zero")
    if graph.is_constant(done.values):
        return done
    value = graph.known(name)
    matrix = value.T if transposed else value
    scale = np.abs(matrix).max(0) / form.limit
    scale[scale == 0] = 1
    whole = np.clip(np.round(matrix / scale), -form.limit, form.limit)
    kind, zero = (np.int8, 0) if form.signed else (np.uint8, 128)
    graph.add(done.values, (whole + zero).astype(kind))
    graph.add(done.scale, scale.astype(np.float32))
    graph.add(done.zero, np.full(scale.shape, zero, kind))
    return done


def _product(graph: Graph, node: Any, x: Quantised, form: Form) -> Any:
    w = _weights(graph, node.input[1], bool(attributes(node).get("transB")), form)
    names = [x.values, w.values, x.scale, w.scale, x.zero, w.zero, *node.input[2:3]]
    return helper.make_node(
        "MatMulIntegerToFloat", names, list(node.output), node.name, domain=MICROSOFT
    )


def _attention(graph: Graph, node: Any, x: Quantised, form: Form) -> Any:
    w = _weights(graph, node.input[1], False, form)
    mask = node.input[3] if len(node.input) > 3 else ""
    names = [x.values, w.values, node.input[2], x.scale, w.scale, mask, x.zero, w.zero]
    return helper.make_node(
        "QAttention",
        names,
        list(node.output),
        node.name,
        domain=MICROSOFT,
        num_heads=attributes(node)["num_heads"],
    )


_Emitter = Callable[[Graph, Any, Quantised, Form], Any]
_EMITTERS: Mapping[str, _Emitter] = {"MatMul": _product, "Gemm": _product, "Attention": _attention}

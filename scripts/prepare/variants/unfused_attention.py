"""Why an attention stays single operators: what its graph, and a run of it, shows.

onnxruntime's Attention for the CPU takes padding alone. It has no rotary positions there; relative
ones and windows could be given as a table of numbers, for which int8 has no operator.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.variants.attention_equivalence import SHAPES, every_token
from onnxferry.scripts.prepare.variants.onnx_graph import constant, operand
from onnxferry.scripts.prepare.variants.subgraph import run

UNKNOWN = "an unknown form"
_MAX_NODES = 200  # that are looked at before a Softmax
_BACK = ("Transpose", "Reshape", "Expand", "Unsqueeze", "Mul", "Div", "Cast", "Identity")
_MAX_STEPS = 12


def causes(graph: ir.Graph, softmaxes: Sequence[ir.Node]) -> Mapping[str, int]:
    """What keeps the attentions of `softmaxes` from being fused -> how many."""
    products = {node: _between(node) for node in softmaxes}
    masks = _masks(graph, {n: p[1] for n, p in products.items() if p[1]})
    found: Counter[str] = Counter()
    for node, (is_relative, product) in products.items():
        kinds = [
            "rotary positions" if product and _is_rotary(product) else "",
            "relative positions" if is_relative else "",
            masks.get(node, ""),
        ]
        found[" and ".join(filter(None, kinds)) or UNKNOWN] += 1
    return found


def _between(softmax: ir.Node) -> tuple[bool, ir.Node | None]:
    """Whether positions are looked up for what a Softmax takes, and the product of queries and
    keys, if there is one product."""
    waiting, products, is_relative = [operand(softmax, 0)], [], False
    seen: set[ir.Node] = set()
    while waiting and len(seen) < _MAX_NODES:
        node = waiting.pop().producer()
        if node is None or node in seen or node.op_type == "Shape":
            continue
        seen.add(node)
        if node.op_type == "MatMul":
            products.append(node)
            continue
        is_relative |= node.op_type == "GatherElements" or _is_look_up(node)
        waiting += [value for value in node.inputs if value]
    return is_relative, products[0] if len(products) == 1 else None


def _is_look_up(node: ir.Node) -> bool:
    table = constant(node.inputs[0]) if node.op_type == "Gather" else None
    return table is not None and table.ndim == 2 and table.dtype == np.float32


def _is_rotary(product: ir.Node) -> bool:
    """Whether queries or keys are turned by their positions."""
    return any(_source(value) == "RotaryEmbedding" for value in product.inputs)


def _source(value: ir.Value | None) -> str:
    for _ in range(_MAX_STEPS):
        node = value.producer() if value else None
        if node is None or node.op_type not in _BACK:
            return node.op_type if node else ""
        value = operand(node, 0)
    return ""


def _masks(graph: ir.Graph, products: Mapping[ir.Node, ir.Node]) -> Mapping[ir.Node, str]:
    """What each Softmax leaves out where no token is padding, if a run tells."""
    for shape in SHAPES:
        feeds = every_token(graph, shape)
        scores = np.zeros((shape[0], 1, shape[1], shape[1]), np.float32)
        feeds |= {product.outputs[0]: scores for product in products.values()}
        with contextlib.suppress(Exception):  # onnxruntime's errors: fewer positions, or others
            (shares,) = run(graph, [node.outputs[0] for node in products], [feeds])
            return dict(zip(products, map(_left_out, shares), strict=True))
    return {}


def _left_out(shares: Array) -> str:
    """Of shares [batch, heads, tokens, tokens]."""
    off = (shares == 0).all((0, 1))
    if not off.any():
        return ""
    return "a causal mask" if off[np.triu_indices(len(off), 1)].all() else "a window"


def sentences(found: Mapping[str, int], total: int) -> Iterator[str]:
    """One for each known cause."""
    for cause, count in found.items():
        if cause != UNKNOWN:
            yield f"{count} of {total} attentions stay single operators: {cause}"

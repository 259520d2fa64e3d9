"""Which operators belong together: by the layer and the role that the exporters write into their
names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

import onnx_ir as ir

from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.int8_embedding import embeddings
from onnxferry.scripts.prepare.variants.linear_layers import linear_layers
from onnxferry.scripts.prepare.variants.qdq_placement import convolutions
from onnxferry.scripts.prepare.variants.variant import OperatorGroup, VariantInputs

MAX_GROUPS = 40  # mixed precision measures a graph for each
_NUMBERED = re.compile(
    r"(?P<what>[A-Za-z_]*(?:layer|block|stage|conv|[a-z]+s))[._/](?P<number>\d+)", re.IGNORECASE
)


def groups(inputs: VariantInputs) -> Sequence[OperatorGroup]:
    """What int8 variants quantise, in the order of the graph: the parts of each layer; whole
    layers, where that were more than MAX_GROUPS; else each operator alone."""
    names = _quantised(onnx_graph.read(inputs.best).graph)
    for key in (_part, lambda name: _part(name).partition(",")[0]):
        found = _grouped(key, names)
        if 1 < len(found) <= MAX_GROUPS and len(found) > len(names) / 12:
            return found
    return [OperatorGroup(name, frozenset({name})) for name in names]


def _quantised(graph: ir.Graph) -> list[str]:
    """The names of the operators that an int8 variant quantises, in the order of the graph."""
    found = {*linear_layers(graph), *embeddings(graph), *convolutions(graph)}
    return [str(node.name) for node in graph if node in found]


def _grouped(key: Callable[[str], str], names: Sequence[str]) -> list[OperatorGroup]:
    found: dict[str, set[str]] = defaultdict(set)
    for name in names:
        found[key(name)].add(name)
    return [OperatorGroup(group, frozenset(operators)) for group, operators in found.items()]


def _part(name: str) -> str:
    """ "layer 3, output dense" of /bert/encoder/layer.3/output/dense/MatMul."""
    number = _NUMBERED.search(name)
    if number is None:
        return _words(name)
    role = _words(name[number.end() :])
    return f"{number['what'].strip('_')} {number['number']}" + (f", {role}" if role else "")


def _words(path: str) -> str:
    """A path's words, without the operator's own name."""
    parts = [part for part in path.split("/") if part]
    return " ".join(parts[:-1] or parts).strip("._")

"""Which operators belong together, by layer and role in the exporters' names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence

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
    """What int8 variants quantise, in the order of the graph: parts of layers, whole layers where
    these are more than MAX_GROUPS, else single operators."""
    graph = onnx_graph.read(inputs.best).graph
    found = {*linear_layers(graph), *embeddings(graph), *convolutions(graph)}
    names = [str(node.name) for node in graph if node in found]
    for key in (_part, lambda name: _part(name).partition(",")[0]):
        made = _grouped(key, names)
        if 1 < len(made) <= MAX_GROUPS and len(made) > len(names) / 12:
            return made
    return [OperatorGroup(name, frozenset({name})) for name in names]


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
    """A path without the operator's own name."""
    parts = [part for part in path.split("/") if part]
    return " ".join(parts[:-1] or parts).strip("._")

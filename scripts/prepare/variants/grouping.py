"""Which operators belong together: by the layer and the role that the exporters write into their
names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from onnxferry.scripts.prepare.variants.embedding import embeddings
from onnxferry.scripts.prepare.variants.linear import linears
from onnxferry.scripts.prepare.variants.onnx_graph import Graph
from onnxferry.scripts.prepare.variants.qdq_placement import convolutions
from onnxferry.scripts.prepare.variants.variant_inputs import Group, Material

MOST = 40  # groups: mixed precision measures a graph for each
_NUMBERED = re.compile(
    r"(?P<what>[A-Za-z_]*(?:layer|block|stage|conv|[a-z]+s))[._/](?P<number>\d+)", re.IGNORECASE
)


def groups(material: Material) -> Sequence[Group]:
    """What int8 variants quantise, in the order of the graph: the parts of each layer; whole
    layers, where that were more than MOST groups; else neighbours."""
    names = _operators(Graph.read(material.best))
    for key in (_part, _layer):
        found = _by(key, names)
        if 1 < len(found) <= MOST and len(found) > len(names) / 12:
            return found
    return _neighbours(names)


def _operators(graph: Graph) -> list[str]:
    """The operators that a variant quantises, in the order of the graph."""
    known = {node.name for node in (*linears(graph), *embeddings(graph), *convolutions(graph))}
    return [node.name for node in graph.nodes if node.name in known]


def _by(key: Any, names: Iterable[str]) -> list[Group]:
    found: dict[str, list[str]] = {}
    for name in names:
        found.setdefault(key(name), []).append(name)
    return [Group(group, frozenset(operators)) for group, operators in found.items()]


def _part(name: str) -> str:
    """ "layer 3, output dense" of /bert/encoder/layer.3/output/dense/MatMul."""
    number = _NUMBERED.search(name)
    if number is None:
        return _words(name)
    role = _words(name[number.end() :])
    return f"{number['what'].strip('_')} {number['number']}" + (f", {role}" if role else "")


def _layer(name: str) -> str:
    return _part(name).partition(",")[0]


def _words(path: str) -> str:
    """A path's words, without the operator's own name."""
    parts = [part for part in path.split("/") if part]
    return " ".join(parts[:-1] or parts).strip("._")


def _neighbours(names: Sequence[str]) -> list[Group]:
    size = -(-len(names) // MOST) if names else 1
    chunks = [names[i : i + size] for i in range(0, len(names), size)]
    return [Group(_span(chunk), frozenset(chunk)) for chunk in chunks]


def _span(chunk: Sequence[str]) -> str:
    return chunk[0] if len(chunk) == 1 else f"{chunk[0]} to {chunk[-1]}"

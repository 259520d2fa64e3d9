"""A graph that can be walked along its edges and rewritten."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper

from onnxferry.scoring.engine import Array
from onnxferry.system.errors import PrepareError

MICROSOFT = "com.microsoft"  # the domain of ONNX Runtime's own operators


class Graph:
    """The main graph of an ONNX model. Constants are read through Constant, Identity and Transpose
    nodes, and every node has a name of its own, the same one each time that the same file is
    read."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self.model = model
        self.nodes: list[Any] = list(model.graph.node)
        self._tensors = {t.name: t for t in model.graph.initializer}
        self._constants: dict[str, Array] = {}
        self._name_nodes()
        self._index()

    @classmethod
    def read(cls, path: Path) -> Graph:
        try:
            return cls(onnx.load(path))
        except Exception as e:  # DecodeError, ValidationError, FileNotFoundError of the weights
            raise PrepareError(f"{path}: not readable as an ONNX model: {e}") from e

    @property
    def inputs(self) -> Sequence[Any]:
        """The declared inputs that are no weights."""
        return [i for i in self.model.graph.input if i.name not in self._tensors]

    @property
    def opset(self) -> int:
        return max(
            (e.version for e in self.model.opset_import if e.domain in ("", "ai.onnx")), default=0
        )

    def producer(self, name: str) -> Any | None:
        return self._producers.get(name)

    def consumers(self, name: str) -> Sequence[Any]:
        return self._consumers[name]

    def is_output(self, name: str) -> bool:
        return any(output.name == name for output in self.model.graph.output)

    def constant(self, name: str) -> Array | None:
        """The value of a tensor that does not depend on the inputs; None for others."""
        if name not in self._constants:
            value = self._constant(name)
            if value is None:
                return None
            self._constants[name] = value
        return self._constants[name]

    def known(self, name: str) -> Array:
        """The value of a tensor that is a constant."""
        value = self.constant(name)
        if value is None:
            raise KeyError(f"{name} is no constant")
        return value

    def is_constant(self, name: str) -> bool:
        """Whether `constant` has a value, found out without reading it."""
        node = self.producer(name)
        if node is None:
            return name in self._tensors
        return node.op_type == "Constant" or (
            node.op_type in _FOLDED and self.is_constant(node.input[0])
        )

    def _constant(self, name: str) -> Array | None:
        if name in self._tensors:
            array: Array = numpy_helper.to_array(self._tensors[name])
            return array
        node = self.producer(name)
        if node is None or not self.is_constant(name):
            return None
        if node.op_type == "Constant":
            return np.asarray(_constant_value(node))
        source = self.constant(node.input[0])
        if source is None or node.op_type == "Identity":
            return source
        return np.ascontiguousarray(source.transpose(attributes(node).get("perm")))

    def add(self, name: str, value: Any) -> str:
        """Make `value` (an array or a number of numpy's) a weight; one that is there under the name
        is kept."""
        if name not in self._tensors:
            self._tensors[name] = numpy_helper.from_array(
                np.ascontiguousarray(value).reshape(np.shape(value)), name
            )
            self.model.graph.initializer.append(self._tensors[name])
        return name

    def swap(self, name: str, other: str, kind: Any) -> str:
        """Store the weight `name` in another dtype, under the name `other`."""
        value = self.known(name)
        self.model.graph.initializer.remove(self._tensors.pop(name))
        return self.add(other, value.astype(kind))

    def replace(self, replacements: dict[str, Sequence[Any]], first: Sequence[Any] = ()) -> None:
        """Put the nodes of `replacements` in the place of the nodes of those names, and `first`
        before all; then drop what nothing needs any more."""
        swapped = (replacements.get(node.name, [node]) for node in self.nodes)
        self.nodes = [*first, *(node for nodes in swapped for node in nodes)]
        self._index()
        self._prune()

    def uses(self, domain: str) -> None:
        """Declare an operator domain."""
        if all(entry.domain != domain for entry in self.model.opset_import):
            self.model.opset_import.append(helper.make_opsetid(domain, 1))

    def whole(self) -> onnx.ModelProto:
        """The model as it is now."""
        del self.model.graph.node[:]
        self.model.graph.node.extend(self.nodes)
        del self.model.graph.value_info[:]  # it may tell of tensors that are gone
        return self.model

    def save(self, path: Path) -> None:
        try:
            onnx.save(self.whole(), path)
        except ValueError as e:  # protobuf's limit of 2 GB
            raise PrepareError(f"{path}: cannot be saved as one file: {e}") from e

    def ancestors(
        self, names: Iterable[str], until: Iterable[str] = ()
    ) -> tuple[list[Any], set[str]]:
        """The nodes that `names` are computed with, in order, and the tensors that they begin at;
        the search ends at the tensors `until`."""
        ends, waiting, seen = set(until), list(names), set[str]()
        leaves, nodes = set[str](), set[str]()
        while waiting:
            name = waiting.pop()
            if not name or name in seen:
                continue
            seen.add(name)
            node = None if name in ends else self.producer(name)
            if node is None:
                leaves.add(name)
            else:
                nodes.add(node.name)
                waiting.extend(_needs(node))
        return [n for n in self.nodes if n.name in nodes], leaves

    def _prune(self) -> None:
        self.nodes, leaves = self.ancestors(output.name for output in self.model.graph.output)
        kept = [t for t in self.model.graph.initializer if t.name in leaves]
        del self.model.graph.initializer[:]
        self.model.graph.initializer.extend(kept)
        self._tensors = {t.name: t for t in self.model.graph.initializer}
        self._index()

    def _name_nodes(self) -> None:
        often = Counter(node.name for node in self.nodes)
        for i, node in enumerate(self.nodes):
            if not node.name or often[node.name] > 1:
                node.name = f"{node.name or node.op_type}_{i}"

    def _index(self) -> None:
        self._producers = {name: node for node in self.nodes for name in node.output}
        self._consumers: dict[str, list[Any]] = defaultdict(list)
        for node in self.nodes:
            for name in _needs(node):
                self._consumers[name].append(node)


_FOLDED = ("Identity", "Transpose")


def attributes(node: Any) -> dict[str, Any]:
    return {a.name: helper.get_attribute_value(a) for a in node.attribute}


def _constant_value(node: Any) -> Any:
    ((name, value),) = attributes(node).items()
    return numpy_helper.to_array(value) if name == "value" else value


def _needs(node: Any) -> set[str]:
    """What a node reads, those of the graphs inside of it (If, Loop) too."""
    inner = [a.g for a in node.attribute if a.type == onnx.AttributeProto.GRAPH]
    return {n for n in node.input if n} | {
        name for graph in inner for n in graph.node for name in _needs(n)
    }

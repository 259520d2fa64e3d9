"""How a server is asked for one text, and what its answer says: a route and a JSON body for each
protocol. Answers are read without knowing the protocol."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

TEXT, MODEL = "$TEXT", "$MODEL"  # what a body holds in their place
NEAR = 0.999  # least cosine of two embeddings that are the same
Answer = str | tuple[float, ...]


@dataclass(frozen=True)
class Protocol:
    """Where a POST goes, unless the URL says it, and the body as JSON."""

    path: str
    body: Any

    def ask(self, text: Any, model: str) -> bytes:
        """The body that asks for `text`, which may be any JSON."""
        return json.dumps(_filled(self.body, {TEXT: text, MODEL: model})).encode()


_TENSOR = {"name": "inputs", "shape": [1], "datatype": "BYTES", "data": [TEXT]}
_OF_MODEL = {"model": MODEL, "input": TEXT}
PROTOCOLS = {
    "onnxferry": Protocol("/predict", {"inputs": TEXT}),
    "deepsparse": Protocol("/predict", {"sequences": TEXT}),
    "litserve": Protocol("/predict", {"input": TEXT}),
    "bentoml": Protocol("/predict", {"texts": [TEXT]}),
    "oip": Protocol(f"/v2/models/{MODEL}/infer", {"inputs": [_TENSOR]}),
    "mlserver": Protocol(
        f"/v2/models/{MODEL}/infer", {"inputs": [{**_TENSOR, "name": "array_inputs"}]}
    ),
    "openai": Protocol("/v1/embeddings", _OF_MODEL),
    "infinity": Protocol("/classify", {**_OF_MODEL, "input": [TEXT]}),
    "infinity-embeddings": Protocol("/embeddings", _OF_MODEL),
    "tei": Protocol("/embed", {"inputs": TEXT}),
}


def _filled(value: Any, values: dict[str, Any]) -> Any:
    if isinstance(value, str):
        return values.get(value, value)
    if isinstance(value, list):
        return [_filled(item, values) for item in value]
    if isinstance(value, dict):
        return {key: _filled(item, values) for key, item in value.items()}
    return value


def read(body: bytes) -> Answer:
    """What an answer says: its best label, its text, or its vector; else all of it. Raises
    ValueError when it is no JSON."""
    nodes = list(_nodes(json.loads(body)))
    named = [node for node in nodes if isinstance(node, dict)]
    if scored := [node for node in named if "label" in node]:
        return str(max(scored, key=lambda node: node.get("score", 0.0))["label"])
    if answers := [node for node in named if "answer" in node]:
        return str(answers[0]["answer"])
    if vectors := [tuple(node) for node in nodes if _is_vector(node)]:
        return vectors[0]
    return json.dumps(nodes[0], sort_keys=True)


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers say the same; vectors, whether they point the same way."""
    if isinstance(one, str) or isinstance(other, str) or len(one) != len(other):
        return one == other
    lengths = math.hypot(*one) * math.hypot(*other)
    return math.fsum(map(float.__mul__, one, other)) >= NEAR * lengths


def _nodes(value: Any) -> Iterator[Any]:
    """The value and all in it; what is JSON in a text too, as MLServer answers."""
    if isinstance(value, str) and value[:1] in ("[", "{"):
        with suppress(ValueError):
            value = json.loads(value)
    yield value
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _nodes(item)


def _is_vector(value: Any) -> bool:
    return isinstance(value, list) and len(value) > 1 and all(type(x) is float for x in value)

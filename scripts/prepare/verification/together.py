"""Several items in one request: each must get the answer that it gets alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from typing import Any

from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.codecs import IMAGES
from onnxferry.scoring.golden import difference
from onnxferry.scoring.graph_inputs import listed
from onnxferry.scoring.wire import JSON
from onnxferry.scripts.prepare.sources.user_inputs import LIST_IS_ONE_ITEM, Sample
from onnxferry.scripts.prepare.verification.asking import ask
from onnxferry.scripts.prepare.verification.fitting import Shape
from onnxferry.system.errors import PrepareError

GROUPS = 3  # of items that share a run
_Item = tuple[Any, Shape]


def check(scorer: Scorer, samples: Mapping[Sample, Shape], tolerance: float) -> None:
    """Raise PrepareError where items of `samples` that are sent together get no answer, or another
    than alone by more than `tolerance`."""
    if scorer.spec.task in LIST_IS_ONE_ITEM:
        return
    items, parameters = _alike(samples)
    chosen = _chosen(items)
    alone = [_answers(scorer, [item], parameters, "one item")[0] for item in chosen]
    what = f"{len(chosen)} items in one request"
    together = _answers(scorer, chosen, parameters, what) if chosen else []
    for expected, got in zip(alone, together, strict=True):
        if found := difference(expected, got, tolerance):
            mixes = "an item's answer depends on the others, so the graph mixes the rows of a batch"
            raise PrepareError(f"{what}: {mixes}. {found}. {_advice(scorer)}")


def _alike(samples: Mapping[Sample, Shape]) -> tuple[list[_Item], Any]:
    """The items of those requests that share their parameters with the most others."""
    groups: dict[str, list[_Item]] = {}
    for sample, shape in samples.items():
        if body := _body(sample):
            groups.setdefault(json.dumps(body.get("parameters")), []).append(
                (body["inputs"], shape)
            )
    key = max(groups, key=lambda k: len(groups[k]), default="null")
    return groups.get(key, []), json.loads(key)


def _body(sample: Sample) -> Mapping[str, Any] | None:
    """{"inputs": one item, "parameters"?}; None for another form."""
    request = sample.request
    if request.content_type in IMAGES:
        return {"inputs": base64.b64encode(request.body).decode()}
    body = json.loads(request.body) if request.content_type == JSON else {}
    alike = set(body) <= {"inputs", "parameters"} and isinstance(body.get("inputs"), str | dict)
    return body if alike else None


def _chosen(items: list[_Item]) -> list[Any]:
    """Two items of each of a few shapes, which share a run; else one item twice, and others."""
    groups: dict[Shape, list[Any]] = {}
    for item, shape in items:
        groups.setdefault(shape, []).append(item)
    pairs = [group[:2] for group in groups.values() if len(group) > 1][:GROUPS]
    singles = [item for item, _ in items[:1]] * 2 + [item for item, _ in items[-1:]]
    return [item for pair in pairs for item in pair] or singles


def _answers(scorer: Scorer, items: list[Any], parameters: Any, what: str) -> list[Any]:
    body = {"inputs": items} if parameters is None else {"inputs": items, "parameters": parameters}
    response, why = ask(scorer, Request(json.dumps(body).encode()))
    if response.status != 200:
        advice = f". {_advice(scorer)}" if response.status >= 500 else ""
        raise PrepareError(f"{what} got status {response.status}: {why}{advice}")
    answers: list[Any] = json.loads(response.body)
    return answers


def _advice(scorer: Scorer) -> str:
    declared = f"The graph says that it takes {listed(scorer.spec.inputs)}"
    ways = "export it with a batch of any size, or with a batch of 1 in these shapes"
    return f"{declared}: {ways}"

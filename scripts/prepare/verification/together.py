"""Several items in one request: each must get the answer that it gets alone."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping, Sequence
from typing import Any

from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.codecs import IMAGES
from onnxferry.scoring.graph_inputs import listed
from onnxferry.scoring.wire import JSON
from onnxferry.scripts.golden_check import difference
from onnxferry.scripts.prepare.sources.user_inputs import LIST_IS_ONE_ITEM, Sample
from onnxferry.scripts.prepare.verification.asking import ask
from onnxferry.system.errors import PrepareError

ITEMS = 4  # at most


def check(scorer: Scorer, samples: Sequence[Sample], tolerance: float) -> None:
    """Raise PrepareError where items of `samples` that are sent together get no answer, or another
    than alone by more than `tolerance`."""
    if scorer.spec.task in LIST_IS_ONE_ITEM:
        return
    items, parameters = _alike([body for s in samples if (body := _body(s))])
    items = _spread(items)
    alone = [_answers(scorer, [item], parameters, "one item")[0] for item in items]
    what = f"{len(items)} items in one request"
    for expected, got in zip(alone, _answers(scorer, items, parameters, what), strict=True):
        if found := difference(expected, got, tolerance):
            mixes = "an item's answer depends on the others, so the graph mixes the rows of a batch"
            raise PrepareError(f"{what}: {mixes}. {found}. {_advice(scorer)}")


def _body(sample: Sample) -> Mapping[str, Any] | None:
    """{"inputs": one item, "parameters"?}; None for another form."""
    request = sample.request
    if request.content_type in IMAGES:
        return {"inputs": base64.b64encode(request.body).decode()}
    body = json.loads(request.body) if request.content_type == JSON else {}
    alike = set(body) <= {"inputs", "parameters"} and isinstance(body.get("inputs"), str | dict)
    return body if alike else None


def _alike(bodies: Sequence[Mapping[str, Any]]) -> tuple[list[Any], Any]:
    """The items of those bodies that share their parameters with the most others."""
    groups: dict[str, list[Any]] = {}
    for body in bodies:
        groups.setdefault(json.dumps(body.get("parameters")), []).append(body["inputs"])
    key = max(groups, key=lambda k: len(groups[k]), default="null")
    return groups.get(key, []), json.loads(key)


def _spread(items: list[Any]) -> list[Any]:
    """The shortest, the longest, and some between."""
    ranked = sorted(items, key=lambda item: len(json.dumps(item)))
    last = len(ranked) - 1
    return [ranked[i] for i in sorted({last * k // (ITEMS - 1) for k in range(ITEMS)})]


def _answers(scorer: Scorer, items: list[Any], parameters: Any, what: str) -> list[Any]:
    body = {"inputs": items} if parameters is None else {"inputs": items, "parameters": parameters}
    response, why = ask(scorer, Request(json.dumps(body).encode()))
    if response.status != 200:
        raise PrepareError(f"{what} got status {response.status}: {why}. {_advice(scorer)}")
    answers: list[Any] = json.loads(response.body)
    return answers


def _advice(scorer: Scorer) -> str:
    declared = f"The graph says that it takes {listed(scorer.spec.inputs)}"
    ways = "export it with a batch of any size, or with a batch of 1 in these shapes"
    return f"{declared}: {ways}"

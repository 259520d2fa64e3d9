"""/api/classify: one picture, named by URL or sent, and its best label.

The picture is the one that the query's `img` names, fetched where the host allows it (see
scoring/urls); without `img` it is the body: its bytes, or JSON as everywhere. The answer:
{"created": when, ISO 8601 in UTC, "prediction": the best label, "confidence": its score, "latency":
milliseconds with the fetch, "predictions": the list of the pipeline, "model": its name}; for a list
of pictures a list.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from onnxferry.scoring import codecs, timing
from onnxferry.scoring.errors import InvalidValue, MissingField, ScoringError
from onnxferry.scoring.forms import PIPELINE
from onnxferry.scoring.scorer import Scorer
from onnxferry.scoring.wire import JSON, Request, Response

TASK = "image-classification"
PARAMETER = "img"


class ClassifyForm:
    """A Form; see the module. It reads Request.query."""

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """See Form."""
        began = time.perf_counter()
        if scorer.spec.task != TASK:
            what = f"model '{scorer.spec.name}' is for {scorer.spec.task}"
            raise InvalidValue(f"{what}; this path asks a model for {TASK}")
        payload = _payload(scorer, request)
        timing.switch("preprocess")
        answer = scorer.task.answer(payload)
        timing.switch("encode")
        milliseconds = round((time.perf_counter() - began) * 1000, 3)
        told = {"model": scorer.spec.name, "latency": milliseconds, "created": _now()}
        many = bool(answer) and isinstance(answer[0], list)
        shaped = [_told(one, told) for one in answer] if many else _told(answer, told)
        return Response(200, codecs.encode_json(shaped), JSON)

    def refusal(self, error: ScoringError) -> Any:
        """As of the usual form."""
        return PIPELINE.refusal(error)


def _payload(scorer: Scorer, request: Request) -> Any:
    body, url = scorer.body(request), request.query.get(PARAMETER)
    if url is None and not body:
        raise MissingField(f"'{PARAMETER}' is missing: name a picture's URL, or send a picture")
    if url is None:
        return codecs.decode(body, request.content_type, scorer.task.accepts)
    if body:
        what = f"'{PARAMETER}' names a picture, and {len(body)} bytes came as the body"
        raise InvalidValue(f"{what}; send one of the two")
    return {"inputs": codecs.ImageUrl(url, PARAMETER)}


def _told(predictions: list[Mapping[str, Any]], told: Mapping[str, Any]) -> dict[str, Any]:
    best = {"prediction": predictions[0]["label"], "confidence": predictions[0]["score"]}
    return {**told, **best, "predictions": predictions}


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")

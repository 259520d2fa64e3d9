"""/api/classify as a Form: the tutorial's answer beside the pipeline's."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.scoring.classify import ClassifyForm
from tests import tiny
from tests.scoring.test_image_classification import picture

GREEN = picture((10, 200, 10))
TEXT = base64.b64encode(GREEN).decode()


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.image_classification(tmp_path_factory.mktemp("image")), {})


def ask(
    scorer: scoring.Scorer, body: bytes = b"", kind: str = scoring.JSON, **query: str
) -> tuple[int, Any]:
    response = scorer.handle(scoring.Request(body, kind, query=query), ClassifyForm())
    return response.status, json.loads(response.body)


@pytest.mark.parametrize(
    ("body", "kind"),
    [(GREEN, "image/png"), (json.dumps({"inputs": TEXT}).encode(), "application/json")],
)
def test_a_picture_in_the_body_is_classified(
    scorer: scoring.Scorer, body: bytes, kind: str
) -> None:
    status, told = ask(scorer, body, kind)
    pipeline = json.loads(scorer.handle(scoring.Request(body, kind)).body)
    assert status == 200
    assert told["predictions"] == pipeline
    assert (told["prediction"], told["confidence"]) == ("green", pipeline[0]["score"])
    assert told["model"] == scorer.spec.name
    assert told["latency"] > 0
    assert datetime.fromisoformat(told["created"]).utcoffset() == timedelta(0)


def test_a_list_is_answered_by_a_list(scorer: scoring.Scorer) -> None:
    status, told = ask(scorer, json.dumps({"inputs": [TEXT, TEXT]}).encode())
    assert status == 200
    assert [one["prediction"] for one in told] == ["green", "green"]


@pytest.mark.parametrize(
    ("body", "query", "code", "says"),
    [
        (b"", {}, "missing_field", "'img' is missing"),
        (GREEN, {"img": "https://a.example/b.png"}, "invalid_value", "send one of the two"),
        (b"", {"img": "https://a.example/b.png"}, "url_not_allowed", "'img' is a URL, which"),
        (b"", {"img": "file:///etc/passwd"}, "url_not_allowed", "'img' is a URL, which"),
        (b"", {"img": TEXT}, "url_not_allowed", "'img' is a URL, which"),
        (b"{}", {}, "missing_field", "'inputs' is missing"),
    ],
)
def test_what_is_wrong_is_told(
    scorer: scoring.Scorer, body: bytes, query: Mapping[str, str], code: str, says: str
) -> None:
    status, told = ask(scorer, body, **query)
    assert (status, told["error"]["code"]) == (403 if "url" in code else 400, code)
    assert says in told["error"]["message"]


def test_only_a_model_for_pictures_classes_is_asked(tmp_path: Path) -> None:
    status, told = ask(scoring.load(tiny.text_classification(tmp_path), {}), GREEN, "image/png")
    assert status == 400
    assert "is for text-classification; this path asks" in told["error"]["message"]

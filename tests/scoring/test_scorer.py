"""load() refuses what it cannot serve by name; handle() answers everything and raises nothing."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.scoring.limits import Limits
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from tests import tiny


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(
        tiny.text_classification(tmp_path_factory.mktemp("m"), limits=Limits(body_bytes=2000))
    )


@pytest.mark.parametrize(
    ("request_", "status", "code", "names"),
    [
        (Request(b"hello"), 400, "invalid_body", "not JSON"),
        (Request(b""), 400, "invalid_body", "empty body"),
        (Request(b'{"inputs": "\xff"}'), 400, "invalid_body", "not UTF-8 text at byte"),
        (Request(b'{"inputs": NaN}'), 400, "invalid_body", "NaN is not a JSON number"),
        (Request(b"[" * 1999), 400, "invalid_body", "not JSON"),
        (Request(b"null"), 400, "invalid_type", "the body must be an object, got null"),
        (
            Request(b" " * 2001),
            413,
            "too_large",
            "2001 bytes; this model takes at most 2000 (limits.body_bytes)",
        ),
        (
            Request(b"", content_length=10**9),
            413,
            "too_large",
            "1000000000 bytes; this model takes at most 2000",
        ),
        (
            Request(b"x", "image/png"),
            415,
            "unsupported_media_type",
            "'image/png' is not accepted; send application/json",
        ),
        (Request(b"{}", "application/json", "text/html"), 406, "not_acceptable", "'text/html'"),
    ],
)
def test_every_refusal_names_what_is_wrong(
    scorer: scoring.Scorer, request_: Request, status: int, code: str, names: str
) -> None:
    response = scorer.handle(request_)
    error = json.loads(response.body)["error"]
    assert (response.status, error["code"], response.content_type) == (
        status,
        code,
        "application/json",
    )
    assert names in error["message"]


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
@pytest.mark.parametrize(
    "accept", ["application/json", "*/*", "", "text/html, application/*;q=0.8"]
)
def test_media_types_are_read_as_http_means_them(
    scorer: scoring.Scorer, content_type: str, accept: str
) -> None:
    assert scorer.handle(Request(b'{"inputs": "good"}', content_type, accept)).status == 200


def test_a_defect_is_told_without_its_details_and_logged_with_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        accepts = ("application/json",)

        def answer(self, payload: Any) -> Any:
            raise RuntimeError("secret detail")

    broken = scoring.Scorer(ModelSpec("x", "text-classification"), Broken())
    with caplog.at_level(logging.ERROR, logger="scoring"):
        response = broken.handle(Request(b'{"inputs": "hi"}'))
    assert response.status == 500
    assert json.loads(response.body)["error"]["code"] == "internal"
    assert b"secret" not in response.body
    assert "secret detail" in caplog.text


def test_a_model_that_answers_nan_is_an_error_not_broken_json(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path)
    tiny.pooled_graph(folder / "model.onnx", {"good": (float("nan"), 0, 0)}, 3)
    response = scoring.load(folder).handle(Request(b'{"inputs": "good"}'))
    assert response.status == 500
    assert "NaN" in json.loads(response.body)["error"]["message"]


def _without(name: str) -> Any:
    return lambda folder: (folder / name).unlink()


def _spec(**changes: Any) -> Any:
    def change(folder: Path) -> None:
        path = folder / "model_spec.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return change


@pytest.mark.parametrize(
    ("damage", "names"),
    [
        (_without("model_spec.json"), "no model_spec.json; a model directory holds"),
        (_without("model.onnx"), "model.onnx: no such file"),
        (_without("tokenizer.json"), "tokenizer.json: not readable as a tokenizer"),
        (lambda f: (f / "model_spec.json").write_text("{"), "not readable as JSON"),
        (lambda f: (f / "model_spec.json").write_text("[]"), "expected a JSON object, got list"),
        (lambda f: (f / "model.onnx").write_bytes(b"junk"), "cannot load it"),
        (_spec(format=99), "'format' is 99; this version reads format 1"),
        (
            _spec(task="dancing"),
            "unknown task 'dancing' in model_spec.json; known: feature-extraction",
        ),
        (_spec(task="image-classification"), "do not fit task 'image-classification'"),
        (_spec(name=""), "'name' must be a non-empty string"),
        (_spec(labels=["one"]), "'labels' holds 1 names, the graph gives 3 scores"),
        (
            _spec(settings={}),
            "settings in model_spec.json do not fit task 'text-classification' .*max_length",
        ),
        (_spec(extra=1), "unknown key.s. extra"),
        (_spec(limits={"itemz": 1}), "malformed labels, inputs, outputs, limits, engine or golden"),
        (_spec(limits={"items": "many"}), "limits.items must be an integer of at least 1"),
        (
            _spec(golden={"body": 1, "answer": 1}),
            "malformed labels, inputs, outputs, limits, engine or golden",
        ),
        (_spec(settings=[]), "'settings' must be an object, got list"),
        (_spec(engine=[1]), "'engine' must be an object, got list"),
        (_spec(engine={"threads": -1}), "model_spec.json: engine.threads must be an integer"),
        (_spec(files=["model.onnx"]), "'files' must be an object, got list"),
        (_spec(files={"model.onnx": 1}), "'files' must hold strings, got int"),
        (_spec(labels="abc"), "'labels' must be a list of strings, got str"),
        (_spec(labels=["bad", "good", None]), "'labels' must hold strings, got NoneType"),
        (_spec(opset="17"), "'opset' must be an integer, got str"),
        (
            _spec(settings={"max_length": "long"}),
            "settings in model_spec.json do not fit task 'text-classification'",
        ),
    ],
)
def test_a_model_directory_that_cannot_be_served_is_refused(
    tmp_path: Path, damage: Any, names: str
) -> None:
    folder = tiny.text_classification(tmp_path)
    damage(folder)
    with pytest.raises(scoring.ScoringError, match=names) as caught:
        scoring.load(folder)
    assert caught.value.code == "invalid_model"


@pytest.mark.parametrize("body", [b'{"inputs": "caf\xc3\xa9"}', b"\xff\xd8\xff\x00binary"])
def test_a_spec_survives_being_written_and_read(tmp_path: Path, body: bytes) -> None:
    golden = Golden(Request(body, "image/jpeg"), [{"label": "x", "score": 0.5}])
    tiny.write_spec(
        tmp_path, ModelSpec("n", "t", {"a": [1]}, ("x",), golden=golden, files={"model.onnx": "00"})
    )
    read = ModelSpec.read(tmp_path)
    assert read.golden == golden
    assert (read.labels, read.settings, read.files) == (("x",), {"a": [1]}, {"model.onnx": "00"})


@pytest.mark.parametrize("request_", [Request(b"{}", "\udcff"), Request(b"{}", accept="\udcff")])
def test_a_header_that_is_not_unicode_is_refused_and_not_raised(
    scorer: scoring.Scorer, request_: Request
) -> None:
    response = scorer.handle(request_)
    assert response.status in (406, 415)
    assert "'\udcff'" in json.loads(response.body)["error"]["message"]


@pytest.mark.parametrize("value", [0, "", [], False])
def test_parameters_that_are_no_object_are_refused_when_empty_too(
    scorer: scoring.Scorer, value: Any
) -> None:
    response = scorer.handle(Request(json.dumps({"inputs": "good", "parameters": value}).encode()))
    assert (response.status, json.loads(response.body)["error"]["code"]) == (400, "invalid_type")
    assert scorer.handle(Request(b'{"inputs": "good", "parameters": null}')).status == 200


@pytest.mark.parametrize("value", [10**30, -(10**30), 10**600])
def test_a_huge_number_is_refused_and_not_repeated(scorer: scoring.Scorer, value: int) -> None:
    response = scorer.handle(
        Request(json.dumps({"inputs": "good", "parameters": {"top_k": value}}).encode())
    )
    message = json.loads(response.body)["error"]["message"]
    assert response.status == 400
    assert "'parameters.top_k' must be between 1 and" in message
    assert len(message) < 100

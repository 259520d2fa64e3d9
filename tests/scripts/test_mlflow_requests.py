"""A request in MLflow's form asks for the same as in ours, and a golden answer is what comes back:
here from the rows of that form, scored by the core; on MLflow's own server in
tests/test_parity_tasks.py."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from examples.custom_task.pack import pack
from onnxferry.scoring import ModelSpec, Request, Scorer, load
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.manifest import Golden, Tensor
from onnxferry.scoring.rows import RowScorer, columns
from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.golden_check import Reply, mismatch
from onnxferry.scripts.mlflow_requests import mlflow_golden, mlflow_request
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.scoring.test_image_classification import picture

Make = Callable[[Path], Path]
PICTURE = picture((200, 10, 10))
CODED = base64.b64encode(PICTURE).decode()
PAIR = {"question": "who sings", "context": "dolly parton sings"}
RANKED = {"query": "a day", "texts": ["a good day", "bad", "great"]}


def arrays(folder: Path) -> Path:
    """A graph of arrays with what prepare writes of it into the spec."""
    task: Any = load(tiny.tensors(folder)).task
    runner = task._runner
    return tiny.write_spec(
        folder, ModelSpec("tiny", "tensors", inputs=runner.inputs, outputs=runner.outputs)
    )


def own(folder: Path) -> Path:
    return pack(tiny.text_classification(folder / "source"), folder / "reranker")


MODELS: dict[str, Make] = {
    "custom": own,
    "feature-extraction": tiny.feature_extraction,
    "fill-mask": tiny.fill_mask,
    "image-classification": tiny.image_classification,
    "image-feature-extraction": tiny.image_feature_extraction,
    "object-detection": tiny.object_detection,
    "question-answering": tiny.question_answering,
    "sentence-similarity": tiny.sentence_similarity,
    "tensors": arrays,
    "text-classification": tiny.text_classification,
    "text-ranking": tiny.text_ranking,
    "token-classification": tiny.token_classification,
    "zero-shot-classification": tiny.zero_shot_classification,
}
PAYLOADS: list[tuple[str, Any]] = [
    ("custom", {"inputs": {"query": "what is good", "documents": ["a good day", "bad"]}}),
    ("feature-extraction", {"inputs": "good day"}),
    ("feature-extraction", {"inputs": ["good"], "parameters": {"pooling": "mean"}}),
    (
        "feature-extraction",
        {"inputs": "good bad", "parameters": {"tokenize_kwargs": {"max_length": 3}, "prompt": ""}},
    ),
    ("fill-mask", {"inputs": f"a very {tiny.MASK} !", "parameters": {"top_k": 3}}),
    ("fill-mask", {"inputs": [f"{tiny.MASK} {tiny.MASK}"], "parameters": {"targets": "day"}}),
    ("image-classification", {"inputs": CODED}),
    ("image-classification", {"inputs": [f"data:image/png;base64,{CODED}"] * 2}),
    ("image-classification", {"inputs": CODED, "parameters": {"top_k": 1}}),
    ("image-feature-extraction", {"inputs": [CODED], "parameters": {"pool": True}}),
    ("object-detection", {"inputs": CODED, "parameters": {"threshold": 0.2}}),
    ("question-answering", PAIR),
    ("question-answering", {"inputs": PAIR, "parameters": {"topk": 2, "align_to_words": None}}),
    ("question-answering", {"inputs": [PAIR, PAIR], "parameters": {"top_k": 3}}),
    ("question-answering", {"question": ["who", "when"], "context": "it was in 1946"}),
    ("question-answering", {"inputs": {"question": ["who"], "context": ["she sings"]}}),
    ("sentence-similarity", {"inputs": {"source_sentence": "good", "sentences": ["a", "day"]}}),
    ("sentence-similarity", {"inputs": [{"source_sentence": "good", "sentences": "day"}]}),
    ("tensors", {"inputs": {"x": [[1.0, 2.0], [3.0, 0.5]], "k": [[1], [1]]}}),
    ("tensors", {"inputs": {"x": [[1.0]], "k": [[1]]}, "parameters": {"outputs": ["positive"]}}),
    ("text-classification", {"inputs": "a very good day"}),
    ("text-classification", {"inputs": ["good", "bad"]}),
    ("text-classification", {"inputs": "good", "parameters": {"top_k": 1}}),
    ("text-classification", {"inputs": "good", "parameters": {"top_k": None, "padding": True}}),
    ("text-classification", {"inputs": {"text": "good", "text_pair": "not bad"}}),
    ("text-classification", {"inputs": ["good", {"text": "a", "text_pair": "day"}]}),
    ("text-classification", {"inputs": "bad", "parameters": {"return_all_scores": True}}),
    ("text-classification", {"sequences": ["good"]}),
    ("text-ranking", {**RANKED, "return_text": True}),
    ("text-ranking", {**RANKED, "raw_scores": True, "truncate": True}),
    (
        "text-ranking",
        {"query": "day", "documents": ["bad", {"text": "great"}], "top_n": 1, "model": "mine"},
    ),
    ("text-ranking", {"query": "day", "documents": ["bad", "good"], "return_documents": True}),
    ("text-ranking", {"inputs": [RANKED], "parameters": {"return_text": True, "top_n": 2}}),
    ("token-classification", {"inputs": "naïve Dolly Rebecca was born in 1946"}),
    ("token-classification", {"inputs": ["Dolly"], "parameters": {"ignore_labels": "O"}}),
    ("zero-shot-classification", {"inputs": "a day", "parameters": {"candidate_labels": "a, b"}}),
    (
        "zero-shot-classification",
        {"sequences": ["a day"], "labels": ["good", "bad"], "multi_class": True},
    ),
]


def answered(scorer: Scorer, request: Request) -> Any:
    """What MLflow's server makes of a request in its form: a frame for the model, and records."""
    asked = json.loads(request.body)
    frame, params = asked["dataframe_split"], asked.get("params", {})
    assert set(params) <= set(columns(scorer.spec).parameters)
    table = dict(zip(frame["columns"], map(list, zip(*frame["data"], strict=True)), strict=True))
    scored = RowScorer(scorer, params).score(table)
    rows = zip(*scored.values(), strict=True)
    records = [dict(zip(scored, row, strict=True)) for row in rows]
    return json.loads(encode_json({"predictions": records}))


def golden(scorer: Scorer, request: Request) -> Golden:
    reply = scorer.handle(request)
    assert reply.status == 200, reply.body
    return Golden(request, json.loads(reply.body))


@pytest.mark.parametrize(("task", "payload"), PAYLOADS)
def test_each_form_of_request_is_answered_as_before(
    tmp_path: Path, task: str, payload: object
) -> None:
    scorer = load(MODELS[task](tmp_path))
    request = Request(json.dumps(payload).encode())

    found = mlflow_golden(scorer.spec, golden(scorer, request))

    assert found.request == mlflow_request(scorer.spec, request)
    given = answered(scorer, found.request)
    reply = Reply(200, json.dumps(given).encode(), "application/json", 0.0)
    assert mismatch(found, reply) is None
    assert len(given["predictions"]) == len(found.answer["predictions"]) > 0


def test_every_task_is_translated() -> None:
    assert set(MODELS) == {*TASKS, "custom"} == {task for task, _ in PAYLOADS}


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b'{"inputs": "good day"}', "application/json; charset=utf-8"),
        (gzip.compress(b'{"inputs": "good day"}', mtime=0), "application/json"),
        (b"good day", "text/plain"),
        (b'"good day"\n', "application/jsonlines"),
        (b"text\r\ngood day\r\n", "text/csv"),
    ],
)
def test_every_media_type_becomes_rows(tmp_path: Path, body: bytes, content_type: str) -> None:
    spec = load(tiny.text_classification(tmp_path)).spec
    coding = "gzip" if body[:1] == b"\x1f" else ""
    request = Request(body, content_type, content_encoding=coding, id="7")
    frame = b'{"dataframe_split": {"columns": ["text"], "data": [["good day"]]}}'
    assert mlflow_request(spec, request) == Request(frame, id="7")


def test_pictures_and_arrays_become_rows(tmp_path: Path) -> None:
    pictures = load(tiny.image_classification(tmp_path / "pictures")).spec
    sent = json.loads(mlflow_request(pictures, Request(PICTURE, "image/png")).body)
    assert sent == {"dataframe_split": {"columns": ["image"], "data": [[CODED]]}}

    of = {name: (Tensor(name, "float32", ("batch", 2)),) for name in ("x", "y")}
    one = ModelSpec("one", "tensors", inputs=of["x"], outputs=of["y"])
    file = tmp_path / "array.npy"
    np.save(file, np.array([[1.5, 2.0]], np.float32))
    sent = json.loads(mlflow_request(one, Request(file.read_bytes(), "application/x-npy")).body)
    assert sent == {"dataframe_split": {"columns": ["x"], "data": [[[1.5, 2.0]]]}}


@pytest.mark.parametrize(
    "body",
    [
        b'{"dataframe_split": {"columns": ["text"], "data": [["good"]]}, "params": {"k": 1}}',
        b'{"dataframe_records": [{"text": "good"}]}',
        b'{"instances": [{"text": "good"}]}',
        b"not JSON",
        b'{"inputs": []}',
        b"{}",
        b"[1]",
    ],
)
def test_what_is_mlflows_or_no_request_goes_as_it_came(tmp_path: Path, body: bytes) -> None:
    request = Request(body)
    assert mlflow_request(load(tiny.text_classification(tmp_path)).spec, request) is request


def test_what_mlflows_form_cannot_hold_is_refused(tmp_path: Path) -> None:
    spec = load(tiny.feature_extraction(tmp_path)).spec
    several = {"inputs": "a", "parameters": {"pooling": ["mean", "cls"]}}
    with pytest.raises(UsageError, match="MLflow takes one string for the parameter 'pooling'"):
        mlflow_request(spec, Request(json.dumps(several).encode()))
    unknown = b'{"inputs": "a", "parameters": {"k": 1}}'
    with pytest.raises(UsageError, match=r"would pass over the parameter\(s\) 'k'; known: dim"):
        mlflow_request(spec, Request(unknown))


def test_a_golden_request_of_another_task_is_named(tmp_path: Path) -> None:
    spec = load(tiny.question_answering(tmp_path)).spec
    wrong = Golden(Request(b'{"text": "a"}'), {}, "mine.json")
    asking = r"request mine\.json has no form in MLflow: 'inputs' is missing.*; give another by"
    with pytest.raises(UsageError, match=asking):
        mlflow_golden(spec, Golden(Request(json.dumps(PAIR).encode()), {}, others=(wrong,)))
    unknown = Golden(Request(b'{"inputs": "a", "parameters": {"k": 1}}'), {}, "k.json")
    with pytest.raises(UsageError, match=r"request k\.json has no form in MLflow: MLflow would"):
        mlflow_golden(load(tiny.text_classification(tmp_path / "text")).spec, unknown)


def test_another_answer_is_found_and_the_others_go_along(tmp_path: Path) -> None:
    scorer = load(own(tmp_path))
    one = Request(b'{"inputs": {"query": "what is good", "documents": ["a good day", "bad"]}}')
    made = golden(scorer, one)
    both = mlflow_golden(scorer.spec, Golden(one, made.answer, others=(made,)))
    assert [g.answer for g in both.others] == [both.answer]

    (record,) = both.answer["predictions"]
    other = json.dumps({"predictions": [{"answer": record["answer"].replace("0.", "9.")}]})
    found = mismatch(both, Reply(200, other.encode(), "application/json", 0.0))
    assert found is not None
    assert "answer.predictions[0].answer" in found

"""Rows of a table get the answers that requests get, and a bad row costs no other its answer."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxferry.scoring import ModelSpec, Request, ScoringError, load
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.errors import InvalidType, InvalidValue, MissingField
from onnxferry.scoring.rows import ERROR, Kind, RowScorer
from onnxferry.scoring.tasks import TASKS
from tests import tiny
from tests.scoring.test_image_classification import picture

QUESTION = {"question": "who sings", "context": "dolly parton sings"}
OTHER = {"question": "where", "context": "dolly was born in 1946"}
MASKED = "good [MASK]"
RED, BLUE = picture((200, 10, 10)), picture((10, 10, 200))
Make = Callable[..., Path]
# task -> a model, two items, parameters that every item goes with
CASES: dict[str, tuple[Make, list[Any], dict[str, Any]]] = {
    "feature-extraction": (tiny.feature_extraction, ["good day", "bad"], {}),
    "fill-mask": (tiny.fill_mask, [MASKED, "a very good [MASK]"], {"top_k": 2}),
    "image-classification": (tiny.image_classification, [RED, BLUE], {"top_k": 2}),
    "image-feature-extraction": (tiny.image_feature_extraction, [RED, BLUE], {}),
    "object-detection": (tiny.object_detection, [RED, BLUE], {"threshold": 0.1}),
    "question-answering": (tiny.question_answering, [QUESTION, OTHER], {"top_k": 2}),
    "sentence-similarity": (
        tiny.sentence_similarity,
        [
            {"source_sentence": "good", "sentences": ["bad", "great day"]},
            {"source_sentence": "bad", "sentences": ["awful"]},
        ],
        {},
    ),
    "text-classification": (tiny.text_classification, ["good day", "bad"], {"top_k": 2}),
    "text-ranking": (
        tiny.text_ranking,
        [{"query": "who sings", "documents": ["dolly", "good day"]}] * 2,
        {"return_documents": True},
    ),
    "token-classification": (
        tiny.token_classification,
        ["dolly parton", "she was born"],
        {"aggregation_strategy": "simple"},
    ),
    "zero-shot-classification": (
        tiny.zero_shot_classification,
        ["good day", "bad"],
        {"candidate_labels": ["good", "bad"]},
    ),
}


def table(items: list[Any]) -> dict[str, list[Any]]:
    """Items as columns."""
    if isinstance(items[0], dict):
        return {name: [item.get(name) for item in items] for name in items[0]}
    return {"image" if isinstance(items[0], bytes) else "text": list(items)}


def sent(item: Any) -> Any:
    """An item as JSON has it."""
    return base64.b64encode(item).decode() if isinstance(item, bytes) else item


def fits(value: Any, kind: Kind) -> bool:
    """Whether a cell is of its column's kind."""
    if isinstance(kind, dict):
        return set(value) == set(kind) and all(fits(value[name], kind[name]) for name in kind)
    if isinstance(kind, list):
        return all(fits(one, kind[0]) for one in value)
    types = {"string": str, "long": int, "boolean": bool, "double": float, "float": np.floating}
    return isinstance(value, types[kind])


@pytest.mark.parametrize("task", CASES)
def test_rows_are_answered_as_requests_are(task: str, tmp_path: Path) -> None:
    make, items, parameters = CASES[task]
    scorer = load(make(tmp_path))
    body = {"inputs": list(map(sent, items)), "parameters": parameters}
    asked = scorer.handle(Request(json.dumps(body).encode()))
    assert asked.status == 200, asked.body

    rows = RowScorer(scorer, parameters)
    given = rows.score(table(items))

    assert set(given) == set(rows.columns.outputs)
    expected = rows.columns.table(json.loads(asked.body))
    for name, kind in rows.columns.outputs.items():
        assert all(fits(cell, kind) for cell in given[name]), (name, kind, given[name])
        assert json.loads(encode_json(given[name])) == expected[name]


def test_every_task_has_its_columns() -> None:
    assert set(CASES) | {"tensors"} == set(TASKS)


@pytest.mark.parametrize("task", CASES)
def test_the_parameters_are_those_that_the_task_takes(task: str, tmp_path: Path) -> None:
    make, items, _ = CASES[task]
    known = set(RowScorer(load(make(tmp_path))).columns.parameters)

    with pytest.raises(InvalidValue, match="unknown parameter") as refused:
        RowScorer(load(make(tmp_path / "again")), {"nonsense": 1}).score(table(items))

    taken = set(str(refused.value).partition("known: ")[2].split(", "))
    other_names = {"topk", "top_n", "return_text", "multi_class", "padding"}
    nested = {"tokenize_kwargs", "tokenizer_kwargs"}
    assert taken - known <= other_names | nested
    assert not known - taken


@pytest.mark.parametrize("task", CASES)
def test_a_bad_row_costs_no_other_its_answer(task: str, tmp_path: Path) -> None:
    make, items, parameters = CASES[task]
    rows = RowScorer(load(make(tmp_path)), parameters)
    good = table([*items, *items])
    first = next(iter(good))
    bad = {
        name: [*cells[:1], None, *cells[1:3], math.nan, *cells[3:]] for name, cells in good.items()
    }

    given = rows.score(bad, keep_errors=True)

    errors = given.pop(ERROR)
    assert [i for i, error in enumerate(errors) if error] == [1, 4]
    assert all(f"'{first}'" in error for error in errors if error), errors
    expected = rows.score(good)
    for name in given:
        kept = [cell for i, cell in enumerate(given[name]) if i not in (1, 4)]
        assert str(kept) == str(expected[name])
        assert given[name][1] is None


def test_a_refused_row_is_named_where_errors_are_not_kept(tmp_path: Path) -> None:
    rows = RowScorer(load(tiny.question_answering(tmp_path)))
    with pytest.raises(MissingField, match="row 1: 'context' is missing"):
        rows.score({"question": ["who", "who"], "context": ["dolly sings", None]})


def test_wrong_parameters_are_no_fault_of_the_rows(tmp_path: Path) -> None:
    golden = tiny.golden({"inputs": "good day"}, [{"label": "good", "score": 0.7}])
    scorer = load(tiny.text_classification(tmp_path, golden=golden))
    with pytest.raises(InvalidType, match=r"parameters\.top_k"):
        RowScorer(scorer, {"top_k": "2"}).score({"text": ["good"] * 3}, keep_errors=True)


def test_the_parameters_are_tried_once_however_many_rows_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    golden = tiny.golden({"inputs": "good day"}, [{"label": "good", "score": 0.7}])
    scorer = load(tiny.text_classification(tmp_path, golden=golden))
    answered, asked = scorer.answer, list[Any]()

    def answer(payload: Any) -> Any:
        asked.append(payload["inputs"])
        return answered(payload)

    monkeypatch.setattr(scorer, "answer", answer)
    RowScorer(scorer).score({"text": [None] * 8}, keep_errors=True)

    assert asked.count("good day") == 1


def test_an_absent_column_is_named_with_those_that_came(tmp_path: Path) -> None:
    rows = RowScorer(load(tiny.question_answering(tmp_path)))
    with pytest.raises(MissingField, match=r"no column 'context' \(or 'text'\).*'question', 'id'"):
        rows.score({"question": ["who"], "id": [1]}, keep_errors=True)


def test_the_label_is_the_best_of_all_in_whatever_order_these_come(tmp_path: Path) -> None:
    rows = RowScorer(load(tiny.text_classification(tmp_path)), {"return_all_scores": True})
    given = rows.score({"text": ["good day", "bad"]})
    assert given["label"] == ["good", "bad"]
    assert [labels[0]["label"] for labels in given["labels"]] == ["bad", "bad"]
    for label, score, labels in zip(*given.values(), strict=True):
        assert {"label": label, "score": score} in labels


def test_the_tutorials_columns_are_read(tmp_path: Path) -> None:
    rows = RowScorer(load(tiny.question_answering(tmp_path)))
    by_name = rows.score({"question": ["who"], "context": ["dolly rebecca"]})
    assert rows.score({"text": ["dolly rebecca"], "question": ["who"], "id": [7]}) == by_name


def test_more_rows_than_a_request_may_hold_are_scored(tmp_path: Path) -> None:
    scorer = load(tiny.text_classification(tmp_path))
    texts = ["good day", "bad", " "] * 500
    given = RowScorer(scorer).score({"text": texts}, keep_errors=True)
    assert given["label"] == ["good", "bad", None] * 500
    assert given[ERROR][2] == "invalid_value: 'text' is empty; expected text"


def test_no_rows_are_no_error(tmp_path: Path) -> None:
    rows = RowScorer(load(tiny.text_classification(tmp_path)))
    assert rows.score({"text": []}, keep_errors=True) == {"label": [], "score": [], ERROR: []}


def test_arrays_are_rows_of_one_batch(tmp_path: Path) -> None:
    folder = tiny.tensors(tmp_path)
    scorer = load(folder)
    task = scorer.task  # what prepare writes into the spec
    spec = ModelSpec("tiny", "tensors", inputs=task._runner.inputs, outputs=task._runner.outputs)  # type: ignore[attr-defined]
    tiny.write_spec(folder, spec)
    rows = RowScorer(load(folder))

    given = rows.score({"x": [[1.0, 2.0], [3.0], np.array([-1.0, 0.0])], "k": [[1], [1], [0]]})

    assert [cell.tolist() for cell in given["square"]] == [[4, 9], [16], [1, 0]]
    assert rows.columns.outputs == {"square": ["double"], "positive": ["boolean"]}


def test_a_defect_is_an_error_of_its_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scorer = load(tiny.text_classification(tmp_path))
    whole = scorer.task.answer

    def answer(payload: Any) -> Any:
        if "awful" in payload["inputs"]:
            raise ZeroDivisionError
        return whole(payload)

    monkeypatch.setattr(scorer.task, "answer", answer)
    given = RowScorer(scorer).score({"text": ["good", "awful", "bad"]}, keep_errors=True)
    assert given["label"] == ["good", None, "bad"]
    assert given[ERROR][1].startswith("internal: ")
    with pytest.raises(ScoringError):
        RowScorer(scorer).score({"text": ["awful"]})

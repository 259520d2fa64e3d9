"""Batch jobs get a row for each row, and each error in its place."""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry.scoring import Request, Scorer, load
from onnxferry.scoring.limits import Limits
from onnxferry.scoring.rows.batch_form import BATCH, is_refused
from tests import tiny
from tests.scoring.test_image_classification import picture

JSONL = "application/jsonlines"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return load(tiny.text_classification(tmp_path_factory.mktemp("texts")))


def scored(scorer: Scorer, body: bytes, content_type: str = JSONL) -> list[Any]:
    response = scorer.handle(Request(body, content_type, JSONL), BATCH)
    assert response.status == 200, response.body
    return [json.loads(line) for line in response.body.split(b"\n")]


def lines(items: Sequence[Any]) -> bytes:
    return b"".join(json.dumps(item).encode() + b"\n" for item in items)


def single(scorer: Scorer, item: Any, **parameters: Any) -> Any:
    """What an endpoint answers for the item among others."""
    body = json.dumps({"inputs": [item], "parameters": parameters}).encode()
    return json.loads(scorer.handle(Request(body)).body)[0]


def test_each_line_gets_the_answer_that_its_item_gets_at_an_endpoint(texts: Scorer) -> None:
    sent = ["good day", {"inputs": "bad"}, {"inputs": "awful", "parameters": {"top_k": 2}}, "great"]
    assert scored(texts, lines(sent)) == [
        single(texts, "good day"),
        single(texts, "bad"),
        single(texts, "awful", top_k=2),
        single(texts, "great"),
    ]


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (b"{not JSON", "invalid_body"),
        (b"", "invalid_body"),
        (b"\xff\xfe", "invalid_body"),
        (b"7", "invalid_type"),
        (b'{"inputs": null}', "invalid_type"),
        (b'{"inputs": "good", "parameters": {"top_k": "x"}}', "invalid_type"),
        (b'{"inputs": "good", "parameters": 3}', "invalid_type"),
    ],
)
def test_what_is_refused_has_its_error_in_its_place(texts: Scorer, bad: bytes, code: str) -> None:
    first, second, third = scored(texts, b'"good"\n' + bad + b'\n"bad"\n')
    assert (first, third) == (single(texts, "good"), single(texts, "bad"))
    assert is_refused(second)
    assert second["error"]["code"] == code
    assert not is_refused(first)


def test_a_line_of_several_items_is_a_request_of_its_own(texts: Scorer) -> None:
    (answer,) = scored(texts, lines([{"inputs": ["good", "bad"]}]))
    assert answer == [single(texts, "good"), single(texts, "bad")]


def test_more_lines_than_a_request_may_have_items(texts: Scorer) -> None:
    few = Scorer(replace(texts.spec, limits=Limits(items=3)), texts.task)
    sent = ["good", "bad", "great", "awful", 5, "day", "not"]
    answers = scored(few, lines(sent))
    assert [is_refused(answer) for answer in answers] == [item == 5 for item in sent]
    assert answers[-1] == single(texts, "not")


def test_lines_that_end_as_on_windows_and_a_last_line_that_does_not(texts: Scorer) -> None:
    assert scored(texts, b'"good"\r\n"bad"') == [single(texts, "good"), single(texts, "bad")]


def test_csv_with_quoted_newlines_is_read_by_its_rows(texts: Scorer) -> None:
    body = b'text\n"good\nday"\nbad,bad\n"a ""great"" day"\n'
    first, second, third = scored(texts, body, "text/csv; charset=utf-8")
    assert first == single(texts, "good\nday")
    assert second["error"]["message"] == "line 4 of the CSV has 2 cell(s), the header 1"
    assert third == single(texts, 'a "great" day')


def test_columns_are_the_fields_of_an_item(tmp_path: Path) -> None:
    scorer = load(tiny.question_answering(tmp_path))
    body = b"question,context\nwho sings,dolly parton sings\nwho,\n"
    first, second = scored(scorer, body, "text/csv")
    assert first == single(scorer, {"question": "who sings", "context": "dolly parton sings"})
    assert is_refused(second)


@pytest.mark.parametrize("body", [b"", b"a,a\n1,2\n", b'text\n"no end', b"text\n\xff\n"])
def test_csv_that_cannot_be_read_refuses_the_file(texts: Scorer, body: bytes) -> None:
    assert texts.handle(Request(body, "text/csv"), BATCH).status == 400


def test_a_picture_is_one_row_and_so_is_what_is_none(tmp_path: Path) -> None:
    scorer = load(tiny.image_classification(tmp_path))
    red = picture((200, 10, 10))
    asked = [Request(body, "image/x-image") for body in (red, b"no picture")]
    good, bad = (scorer.handle(request, BATCH) for request in asked)
    assert (good.status, bad.status) == (200, 200)
    assert good.body == scorer.handle(asked[0]).body
    assert json.loads(bad.body)["error"]["code"] == "invalid_image"


def test_pictures_in_lines(tmp_path: Path) -> None:
    scorer = load(tiny.image_classification(tmp_path))
    red = base64.b64encode(picture((200, 10, 10))).decode()
    good, bad = scored(scorer, lines([red, "%%%"]))
    assert good == single(scorer, red)
    assert is_refused(bad)


def test_a_line_of_arrays(tmp_path: Path) -> None:
    scorer = load(tiny.tensors(tmp_path))
    good, bad = scored(scorer, lines([{"inputs": {"x": [[1.0, 2.0]], "k": [[1]]}}, {"inputs": 5}]))
    assert good["square"] == [[4.0, 9.0]]
    assert is_refused(bad)


def test_a_body_over_the_limit_refuses_the_file(texts: Scorer) -> None:
    few = Scorer(replace(texts.spec, limits=Limits(body_bytes=10)), texts.task)
    assert few.handle(Request(b'"good good good"\n', JSONL), BATCH).status == 413

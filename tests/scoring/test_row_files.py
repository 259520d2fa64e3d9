"""A batch job's files get a row for each row, as batch_form answers the same rows."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry.scoring import Request, Scorer, load
from onnxferry.scoring.errors import InvalidBody
from onnxferry.scoring.limits import Limits
from onnxferry.scoring.rows.batch_form import BATCH
from onnxferry.scoring.rows.row_files import ROWS, lines
from tests import tiny
from tests.scoring.test_image_classification import picture

JSONL, CSV = "application/jsonlines", "text/csv"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Scorer:
    return load(tiny.text_classification(tmp_path_factory.mktemp("texts")))


def with_limit(scorer: Scorer, size: int) -> Scorer:
    return Scorer(replace(scorer.spec, limits=Limits(body_bytes=size)), scorer.task)


def no_tables(path: Path) -> Iterator[dict[str, list[Any]]]:
    raise InvalidBody("no Parquet")
    yield {}


def rows(scorer: Scorer, path: Path, content: bytes | None = None) -> list[dict[str, Any]]:
    if content is not None:
        path.write_bytes(content)
    found = [*lines(scorer, path, path.name, no_tables)]
    assert all(line.isascii() and "\n" not in line for line in found)
    parsed: list[dict[str, Any]] = [json.loads(line) for line in found]
    assert [list(row) for row in parsed] == [["file", "row", "answer", "error"]] * len(parsed)
    assert {row["file"] for row in parsed} == {path.name}
    return parsed


def batch_form(scorer: Scorer, body: bytes, content_type: str) -> list[dict[str, Any]]:
    """What a SageMaker batch job writes for the same rows, as rows."""
    response = scorer.handle(Request(body, content_type, JSONL), BATCH)
    assert response.status == 200, response.body
    answers = [json.loads(line) for line in response.body.split(b"\n")]
    return [
        {"row": i, "answer": None, **a} if "error" in a else {"row": i, "answer": a, "error": None}
        for i, a in enumerate(answers)
    ]


def without_file(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "file"} for row in found]


def test_thousands_of_json_lines_are_answered_as_sagemakers_batch_answers_them(
    texts: Scorer, tmp_path: Path
) -> None:
    kinds = [
        '"good day"',
        '{"inputs": "gr\u00f6\u00dfe \U0001f600 good", "parameters": {"top_k": 2}}',
        '{"text": "bad day", "text_pair": "good"}',
        "{nope",
        "",
        '{"inputs": ["good", "bad"]}',
        "3",
    ]
    body = "".join(f"{kinds[i % len(kinds)]}\n" for i in range(5 * ROWS + 3)).encode()

    found = rows(texts, tmp_path / "a.jsonl", body)

    assert without_file(found) == batch_form(texts, body, JSONL)
    assert [row["row"] for row in found] == [*range(5 * ROWS + 3)]
    assert sum(row["error"] is None for row in found) > 2 * ROWS


def test_a_csv_file_is_answered_as_sagemakers_batch_answers_it(
    texts: Scorer, tmp_path: Path
) -> None:
    body = b"\xef\xbb\xbftext\r\n" + b'good day\r\n"bad,\r\n day"\r\n\r\na,b\r\n' * (ROWS + 1)

    found = rows(texts, tmp_path / "a.csv", body)

    assert without_file(found) == batch_form(texts, body, CSV)
    assert len(found) == 3 * (ROWS + 1)


def test_a_line_over_the_limit_costs_no_other_line_its_answer(
    texts: Scorer, tmp_path: Path
) -> None:
    long = b'"' + b"x" * 50 + b'"'
    scorer = with_limit(texts, 20)

    found = rows(scorer, tmp_path / "a.jsonl", b'"good"\n' + long + b'\n"bad"\n' + long)

    assert [row["error"] and row["error"]["code"] for row in found] == [
        *(None, "too_large", None, "too_large")
    ]
    assert "the line has 52 bytes" in found[1]["error"]["message"]


@pytest.mark.parametrize("end", [b"\n", b""])
def test_a_line_of_just_the_limit_is_read(texts: Scorer, tmp_path: Path, end: bytes) -> None:
    (found,) = rows(with_limit(texts, 10), tmp_path / "a.jsonl", b'"good day"' + end)
    assert found["error"] is None


def test_what_follows_a_csv_line_that_cannot_be_read_is_told_as_one_row(
    texts: Scorer, tmp_path: Path
) -> None:
    body = b"text\ngood day\n" + b"x" * 50 + b"\nbad day\n"

    answered, ended = rows(with_limit(texts, 20), tmp_path / "a.csv", body)

    assert (answered["row"], answered["error"]) == (0, None)
    assert (ended["row"], ended["error"]["code"]) == (1, "too_large")
    assert "after 1 row(s) no more of the file is read" in ended["error"]["message"]


def test_a_line_without_end_is_not_held(texts: Scorer, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"x" * (40 << 20))
    scorer = with_limit(texts, 1 << 20)

    tracemalloc.start()
    (found,) = rows(scorer, path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert found["error"]["code"] == "too_large"
    assert peak < 8 << 20


@pytest.mark.parametrize(
    ("name", "content", "code"),
    [
        ("a.jsonl", b"", "invalid_body"),
        ("a.csv", b"", "invalid_body"),
        ("a.csv", b"text\n", "invalid_body"),
        ("a.csv", b"text,text\na,b\n", "invalid_body"),
        ("a.csv", b"text\n\xff\n", "invalid_body"),
        ("a.json", b"", "invalid_body"),
        ("a.png", b"", "invalid_body"),
        ("a.parquet", b"PAR1", "invalid_body"),
        ("a.txt", b"good day", "unsupported_media_type"),
        ("a", b"good day", "unsupported_media_type"),
        ("none.jsonl", None, "invalid_body"),
        ("none.png", None, "invalid_body"),
    ],
)
def test_a_file_that_has_no_rows_to_read_is_one_row(
    texts: Scorer, tmp_path: Path, name: str, content: bytes | None, code: str
) -> None:
    (found,) = rows(texts, tmp_path / name, content)
    assert (found["row"], found["answer"], found["error"]["code"]) == (None, None, code)


def test_a_defect_in_reading_a_file_costs_no_other_file_its_rows(
    texts: Scorer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def tables(path: Path) -> Iterator[dict[str, list[Any]]]:
        yield {"text": ["good day"]}
        raise KeyError("secret")

    answered, ended = map(json.loads, lines(texts, tmp_path / "a.parquet", "a", tables))

    assert (answered["error"], ended["row"], ended["error"]["code"]) == (None, 1, "internal")
    assert "secret" not in ended["error"]["message"]
    assert "KeyError" in caplog.text


def test_a_folder_of_a_files_name_is_one_row(texts: Scorer, tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").mkdir()
    (found,) = rows(texts, tmp_path / "a.jsonl")
    assert found["error"]["message"] == "the file cannot be read: Is a directory"


def test_a_json_file_is_a_request_and_one_row(texts: Scorer, tmp_path: Path) -> None:
    body = b'{"inputs": ["good day", "bad day"]}'

    (found,) = rows(texts, tmp_path / "a.JSON", body)

    assert found["answer"] == json.loads(texts.handle(Request(body)).body)


def test_names_and_answers_of_any_language_are_ascii(tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    name = "gr\u00f6\u00dfe \U0001f600.jsonl"
    item = {"question": "who", "context": "rebecca \U0001f600"}

    (found,) = rows(load(model), tmp_path / name, json.dumps({"inputs": item}).encode())

    assert found["error"] is None
    assert found["answer"]["answer"] in item["context"]


def test_pictures_are_answered_as_an_endpoint_answers_them(tmp_path: Path) -> None:
    scorer = load(tiny.image_classification(tmp_path / "model"))
    body = picture((200, 30, 30))

    (found,) = rows(scorer, tmp_path / "a.png", body)
    (broken,) = rows(scorer, tmp_path / "b.jpeg", b"no picture")
    (large,) = rows(with_limit(scorer, len(body) - 1), tmp_path / "a.png")

    assert found["answer"] == json.loads(scorer.handle(Request(body, "image/png")).body)
    assert (found["row"], broken["row"], large["row"]) == (0, 0, 0)
    assert (broken["error"]["code"], large["error"]["code"]) == ("invalid_image", "too_large")

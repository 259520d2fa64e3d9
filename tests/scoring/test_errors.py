"""The errors that a client may see: each class's code with its status is in docs/errors.md, and
each is provoked by the example there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from onnxferry import scoring
from onnxferry.scoring import errors
from onnxferry.scoring.wire import Request
from tests import tiny

PAGE = (Path(__file__).parents[2] / "docs/errors.md").read_text(encoding="utf-8")
CLASSES = [c for c in scoring.ScoringError.__subclasses__() if c.__module__ == errors.__name__]
ROWS = {
    code: (int(status), example)
    for code, status, example in re.findall(
        r"^\| `(\w+)` \| (\d{3}) \| [^|]+ \| ([^|]+) \|$", PAGE, re.MULTILINE
    )
}
EXAMPLES = {
    "invalid_body": Request(b"hello"),
    "missing_field": Request(b'{"text": "a"}'),
    "invalid_type": Request(b'{"inputs": 1}'),
    "invalid_value": Request(b'{"inputs": ""}'),
    "invalid_image": Request(b"hello", "image/png"),
    "invalid_url": Request(b'{"inputs": "ftp://a.example/cat.png"}'),
    "url_not_allowed": Request(b'{"inputs": "https://a.example/cat.png"}'),
    "not_acceptable": Request(b"{}", accept="text/html"),
    "too_large": Request(json.dumps({"inputs": ["a"] * 2000}).encode()),
    "unsupported_media_type": Request(b"{}", "application/pdf"),
    "unsupported_encoding": Request(b"{}", content_encoding="br"),
}


def test_the_pages_table_lists_every_code_with_its_status() -> None:
    assert {code: status for code, (status, _) in ROWS.items()} == {
        c.code: c.status for c in CLASSES
    }


def test_the_tree_in_the_docstring_lists_every_class() -> None:
    drawn = re.findall(r"[├└]── (\w+) +(\w+) +(\d{3}) ", errors.__doc__ or "")
    assert drawn == [(c.__name__, c.code, str(c.status)) for c in CLASSES]


@pytest.mark.parametrize("code", EXAMPLES)
def test_the_pages_example_is_what_a_client_gets(tmp_path: Path, code: str) -> None:
    pictures = code in ("invalid_image", "invalid_url", "url_not_allowed")
    make = tiny.image_classification if pictures else tiny.text_classification
    environment = {"ONNXFERRY_URLS_ALLOW": "true"} if code == "invalid_url" else {}
    response = scoring.load(make(tmp_path), environment).handle(EXAMPLES[code])
    error = json.loads(response.body)["error"]
    status, example = ROWS[code]
    assert (response.status, error["code"], response.content_type) == (
        status,
        code,
        "application/json",
    )
    assert error["message"].startswith(example.removesuffix("...").strip())


def test_no_example_is_missing() -> None:
    assert set(EXAMPLES) | {"internal", "invalid_model", "fetch_failed"} == set(ROWS)

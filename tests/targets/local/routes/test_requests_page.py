"""The requests that docs/requests.md shows for each of the server's protocols are answered so."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests import documents, tiny
from tests.targets.local.routes.inprocess import asked

_ROW = re.compile(r"^\| `POST ([^`]+)`.*\| `(\{.*?\})` -> `\{\"(\w+)\": .*` \|$", re.MULTILINE)
SHOWN = _ROW.findall(documents.read("docs/requests.md"))


def test_the_table_shows_requests() -> None:
    assert len(SHOWN) == 4


@pytest.mark.parametrize(("path", "body", "field"), SHOWN)
def test_a_request_of_the_table_is_answered(
    tmp_path: Path, path: str, body: str, field: str
) -> None:
    embeds = path.startswith("/v1/embeddings")
    make = tiny.feature_extraction if embeds else tiny.text_classification
    with asked({"NAME": make(tmp_path / "model")}) as client:
        answer = client.post(path, json=json.loads(body))
    assert answer.status_code == 200, answer.text
    assert field in answer.json()

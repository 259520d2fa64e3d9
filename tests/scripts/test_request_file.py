"""A file's suffix says what it is sent as."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxferry.scoring import Request
from onnxferry.scripts.request_file import read_request
from onnxferry.system.errors import UsageError


@pytest.mark.parametrize(
    ("name", "content_type"),
    [
        ("q.json", "application/json"),
        ("a.jpg", "image/jpeg"),
        ("a.jpeg", "image/jpeg"),
        ("a.PNG", "image/png"),
        ("a.webp", "image/webp"),
    ],
)
def test_the_suffix_says_the_content_type(tmp_path: Path, name: str, content_type: str) -> None:
    (tmp_path / name).write_bytes(b"{}")
    assert read_request(tmp_path / name) == Request(b"{}", content_type)


def test_an_unknown_suffix_is_refused(tmp_path: Path) -> None:
    (tmp_path / "question").write_bytes(b"{}")
    with pytest.raises(UsageError, match=r"suffix '' is unknown; known: \.json, \.jpg"):
        read_request(tmp_path / "question")

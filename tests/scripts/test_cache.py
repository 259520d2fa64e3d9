"""The cache is one folder, for wheels and for environments."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxferry.system.cache import cache_folder


def test_the_cache_is_where_the_user_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONNXFERRY_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
    monkeypatch.delenv("ONNXFERRY_CACHE")
    assert cache_folder().name == "onnxferry"

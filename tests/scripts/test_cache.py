"""The cache is one folder, for wheels and for environments."""

from __future__ import annotations

from pathlib import Path

from onnxferry.system.cache import cache_folder


def test_the_cache_is_where_the_user_says(tmp_path: Path) -> None:
    assert cache_folder({"ONNXFERRY_CACHE": str(tmp_path)}) == tmp_path
    assert cache_folder({}).name == "onnxferry"

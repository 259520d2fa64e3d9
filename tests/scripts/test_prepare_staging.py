"""A model directory appears whole or not at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxferry.scripts.prepare.model_directory import publish, staging


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_what_is_published_takes_the_old_one_s_place(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    for content in ("old", "new"):
        with staging(out) as work:
            (work / "made").mkdir()
            (work / "made" / content).touch()
            publish(work / "made", out)
    assert names(out) == ["new"]
    assert names(out.parent) == ["out"]


def test_an_interruption_leaves_nothing(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()

    with pytest.raises(KeyboardInterrupt), staging(out) as work:
        (work / "half").touch()
        raise KeyboardInterrupt

    assert names(tmp_path) == ["out"]
    assert names(out) == ["old"]


def test_a_failed_exchange_puts_the_old_one_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()

    with pytest.raises(FileNotFoundError):
        publish(tmp_path / "absent", out)

    assert names(tmp_path) == ["out"]
    assert names(out) == ["old"]

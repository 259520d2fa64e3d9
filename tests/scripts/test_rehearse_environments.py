"""Environments are made once, whole, and by one process at a time."""

from __future__ import annotations

import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import pytest

from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.system.errors import RehearsalError
from tests.packages import make_wheel

PYTHON = Path(sys.executable)


class Reports(list[str]):
    """Remembers the stages that were reported."""

    def __call__(self, title: str) -> nullcontext[None]:
        self.append(title)
        return nullcontext()


def test_it_is_made_once(tmp_path: Path) -> None:
    reports = Reports()
    first = environment("demo", PYTHON, (), tmp_path, reports)
    assert (first / "bin" / "python").exists()
    assert environment("demo", PYTHON, (), tmp_path, reports) == first
    assert len(reports) == 1


def test_a_half_made_one_is_made_anew(tmp_path: Path) -> None:
    folder = environment("demo", PYTHON, (), tmp_path, Reports())
    (folder / "ready").unlink()
    (folder / "left-over").touch()
    assert environment("demo", PYTHON, (), tmp_path, Reports()) == folder
    assert (folder / "ready").exists()
    assert not (folder / "left-over").exists()


def test_two_at_once_make_it_once(tmp_path: Path) -> None:
    reports = Reports()
    with ThreadPoolExecutor(2) as pool:
        made = list(
            pool.map(lambda _: environment("demo", PYTHON, (), tmp_path, reports), range(2))
        )
    assert made[0] == made[1]
    assert len([title for title in reports if title.startswith("make")]) == 1


def test_other_requirements_make_another(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "werkzeug", "py3-none-any", ["werkzeug/__init__.py"])
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("werkzeug/large", bytes(100_000))
    install = Install((str(wheel),), ("--no-index",))

    plain = environment("demo", PYTHON, (), tmp_path, Reports())
    other = environment("demo", PYTHON, (install,), tmp_path, Reports())

    assert not [*plain.rglob("werkzeug")]
    (large,) = other.rglob("werkzeug/large")
    assert large.stat().st_nlink == 2  # what a third one has too is on the disk once


def test_a_failed_one_leaves_nothing_and_shows_what_pip_said(tmp_path: Path) -> None:
    absent = Install(("no-such-distribution-as-this==1",), ("--no-index",))
    with pytest.raises(
        RehearsalError, match="No matching distribution found for no-such-distribution-as-this"
    ):
        environment("demo", PYTHON, (absent,), tmp_path, Reports())
    assert [path.suffix for path in (tmp_path / "envs").iterdir()] == [".lock"]

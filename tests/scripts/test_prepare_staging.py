"""A model directory appears whole or not at all."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from onnxferry.scripts.prepare.staging import publish, staging


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


KILLED = """
import sys, time
from pathlib import Path
from onnxferry.scripts.prepare import staging
out = Path(sys.argv[1])
with staging.staging(out) as work:
    (work / "half").touch()
    if len(sys.argv) > 2:  # within publish
        out.rename(f"{staging._sibling(out)}{staging._BEFORE}")
    print("begun", flush=True)
    time.sleep(600)
"""


@contextmanager
def another_run(out: Path, *publishes: str) -> Iterator[None]:
    """Killed at the block's end."""
    command = [sys.executable, "-c", KILLED, str(out), *publishes]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        assert process.stdout.readline() == "begun\n"
        try:
            yield
        finally:
            process.kill()


def test_what_a_killed_run_left_is_cleared_by_the_next(tmp_path: Path) -> None:
    out = tmp_path / "out"
    other = tmp_path / ".out.of-the-user"
    other.mkdir()
    with another_run(out):
        (left,) = (path for path in tmp_path.iterdir() if path != other)
        with staging(out) as work:
            assert (left / "half").exists()  # it is at work
            assert work != left
    assert (left / "half").exists()
    with staging(out):
        assert not left.exists()
    assert names(tmp_path) == [".out.of-the-user"]


def test_a_model_that_a_killed_run_was_replacing_is_put_back(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "old").touch()
    with another_run(out, "publishes"), staging(out):
        assert not out.exists()  # the other run is at work
    with staging(out):
        assert names(out) == ["old"]
    assert names(tmp_path) == ["out"]

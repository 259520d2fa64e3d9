"""A host's memory and file system: what is held, what is only compared, and that it is said."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from onnxferry.scripts.rehearse.limits import WHOLE, FileSystem, MemoryLimit, limited, refusal
from onnxferry.scripts.rehearse.processes import running, tail

HUNGRY = "import sys; kept = bytearray(400 << 20); print('had it', flush=True)"


def ran(tmp_path: Path, *words: object) -> tuple[int, str]:
    """The exit code and the output of a program behind the supervisor."""
    log = tmp_path / "log"
    with running(words, env={}, cwd=tmp_path, log=log) as process:
        code = process.wait(60)
    return code, tail(log, 20)


def python(text: str) -> tuple[str, ...]:
    return (sys.executable, "-ES", "-c", text)


def test_without_limits_nothing_is_said() -> None:
    with limited(0, read_only=False) as none:
        assert (none.memory.front, none.files.front()) == ((), ())
        assert (none.memory.said, none.files.said, none.memory.broken(1e9)) == ("", "", "")


def test_the_kernel_ends_what_takes_too_much(tmp_path: Path) -> None:
    with limited(100, read_only=False) as within:
        if within.memory.group is None:
            pytest.skip(within.memory.why)
        assert "held by a control group" in within.memory.said
        code, said = ran(tmp_path, *within.memory.front, *python(HUNGRY))
        assert (code, "had it" in said) == (137, False)
        ended = "the kernel ended 1 of its processes at the limit of 100 MB"
        assert within.memory.broken(0) == ended
        group = within.memory.group
    assert not group.exists()
    with limited(800, read_only=False) as within:
        assert ran(tmp_path, *within.memory.front, *python(HUNGRY))[0] == 0
        assert within.memory.broken(500) == ""


def test_without_a_control_group_the_peak_is_compared(tmp_path: Path) -> None:
    with limited(100, False, root=tmp_path) as within:
        assert (within.memory.front, list(tmp_path.iterdir())) == ((), [])
        assert within.memory.said.startswith("at most 100 MB (compared, not held: no control group")
        assert within.memory.broken(99) == ""
        assert within.memory.broken(101) == (
            "its processes took 101 MB together, and the limit is 100 MB"
        )


def test_a_group_of_version_1_and_of_2(tmp_path: Path) -> None:
    one, two = (tmp_path / name for name in ("one", "two"))
    (one / "memory").mkdir(parents=True)
    (one / "memory" / "memory.limit_in_bytes").touch()
    two.mkdir()
    for root in (one, two):  # plain folders, in which no kernel makes the files
        with limited(100, False, root=root) as within:
            assert within.memory.group is None
        assert not list(root.glob("**/onnxferry-*"))


def test_events_of_both_versions_are_read(tmp_path: Path) -> None:
    for name in ("memory.events", "memory.oom_control"):
        group = tmp_path / name
        group.mkdir()
        (group / name).write_text("under_oom 0\noom_kill 3\n")
        assert "the kernel ended 3" in MemoryLimit(100, group).broken(0)


WRITE = "import pathlib, sys; [pathlib.Path(p).write_text('x') for p in sys.argv[1:]]"


def test_nothing_but_what_is_given_can_be_written(tmp_path: Path) -> None:
    if why := refusal():
        pytest.skip(why)
    given, other = tmp_path / "given", tmp_path / "other"
    given.mkdir()
    other.mkdir()
    with limited(0, read_only=True) as within:
        assert within.files.said == WHOLE
        front = within.files.front(given)
        assert ran(tmp_path, *front, *python(WRITE), given / "x")[0] == 0
        for place in (other / "x", Path.home() / "onnxferry-x"):
            code, said = ran(tmp_path, *front, *python(WRITE), place)
            assert (code, "Read-only file system" in said) == (1, True)
            assert not place.exists()
    (other / "x").write_text("this machine's own is as before")


def test_limits_go_with_a_cut_off_network(tmp_path: Path) -> None:
    with limited(100, read_only=True) as within:
        if within.memory.group is None or within.files.why:
            pytest.skip(within.memory.why or within.files.why)
        front = (*within.memory.front, *within.files.front(tmp_path), "--cut-off", 15999)
        code, said = ran(tmp_path, *front, *python(WRITE), tmp_path / "x")
        assert (code, (tmp_path / "x").read_text()) == (0, "x"), said
        assert ran(tmp_path, *front, *python(HUNGRY))[0] == 137


def test_without_a_namespace_the_packages_files_lose_their_permission(tmp_path: Path) -> None:
    file = tmp_path / "model" / "model.onnx"
    file.parent.mkdir()
    file.touch(0o644)
    files = FileSystem(read_only=True, why="no namespace")
    assert (files.front(tmp_path), files.said) == ((), "the package's alone: no namespace")
    with files.applied(file.parent):
        assert (file.stat().st_mode & 0o222, file.parent.stat().st_mode & 0o222) == (0, 0)
    assert file.stat().st_mode & 0o777 == 0o644

"""Whatever a started program starts ends with it, and with us."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from onnxferry.scripts.rehearse.processes import members, running
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]
# A program that starts another, writes its pid and waits for ever; SIGTERM ends neither.
FAMILY = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])
open('child.pid.part', 'w').write(str(child.pid))
import os; os.rename('child.pid.part', 'child.pid')
time.sleep(600)
"""


def alive(pid: int) -> bool:
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def child_pid(folder: Path) -> int:
    assert eventually((folder / "child.pid").exists)
    return int((folder / "child.pid").read_text())


def test_the_whole_family_ends_with_the_block(tmp_path: Path) -> None:
    family, log = (sys.executable, "-c", FAMILY), tmp_path / "log"
    with running(family, env=os.environ, cwd=tmp_path, log=log, grace=0.2) as process:
        child = child_pid(tmp_path)
        assert child in [member.pid for member in members(process)]
    assert not alive(child)
    assert not members(process)


def test_it_ends_when_the_block_fails(tmp_path: Path) -> None:
    sleeper = (sys.executable, "-c", "import time; time.sleep(600)")
    with (
        pytest.raises(KeyboardInterrupt),
        running(sleeper, env=os.environ, cwd=tmp_path, log=tmp_path / "log") as process,
    ):
        raise KeyboardInterrupt
    assert process.poll() is not None


def test_it_ends_when_the_starter_is_killed(tmp_path: Path) -> None:
    """kill -9 leaves no time to clean up: the supervisor does."""
    (tmp_path / "family.py").write_text(FAMILY)
    code = (
        "import os, sys, time; from pathlib import Path\n"
        "from onnxferry.scripts.rehearse.processes import running\n"
        "program, here = (sys.executable, 'family.py'), Path(sys.argv[1])\n"
        "with running(program, env=os.environ, cwd=here, log=here / 'log'):\n    time.sleep(600)"
    )
    starter = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT)
    child = child_pid(tmp_path)
    starter.kill()
    starter.wait()
    assert eventually(lambda: not alive(child))


def test_the_exit_code_and_the_output_are_the_programs(tmp_path: Path) -> None:
    program = (sys.executable, "-c", "print('so it ends'); raise SystemExit(3)")
    with running(program, env=os.environ, cwd=tmp_path, log=tmp_path / "log") as process:
        assert process.wait(timeout=20) == 3
    assert (tmp_path / "log").read_text() == "so it ends\n"

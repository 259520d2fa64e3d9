"""The virtual environments that the runtimes need, made once and kept in the user's cache: ready
with the file `ready` (they cannot be renamed: their scripts hold their path)."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout

from onnxferry.scripts.rehearse.processes import running, tail
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.scripts.rehearse.shared_files import share
from onnxferry.system.console import ReportStage
from onnxferry.system.errors import RehearsalError

# what is imported is compiled then; all of it would take pip most of its time
_QUIET = ("--quiet", "--no-input", "--disable-pip-version-check", "--no-compile")
_MISLEADING = "PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_CONSTRAINT"
_LIMIT = 1800.0  # seconds for one run of pip


def environment(
    name: str, python: Path, installs: Sequence[Install], cache: Path, report: ReportStage
) -> Path:
    """The folder of a virtual environment of `python` with `installs`. Raises RehearsalError with
    the end of pip's output."""
    content = repr((str(python.resolve()), tuple(installs))).encode()
    folder = cache / "envs" / f"{name}-{hashlib.sha256(content).hexdigest()[:16]}"
    if not _ready(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(FileLock(f"{folder}.lock"), report):
            if not _ready(folder):
                with report(f"make the environment of {name} (once; kept in {folder})"):
                    _make(folder, python, installs)
    return folder


def _ready(folder: Path) -> bool:
    return (folder / "ready").is_file() and (folder / "bin" / "python").exists()


def _locked(lock: FileLock, report: ReportStage) -> AbstractContextManager[object]:
    try:
        return lock.acquire(blocking=False)
    except Timeout:
        with report("wait for another process that makes the same environment"):
            return lock.acquire()


def _make(folder: Path, python: Path, installs: Sequence[Install]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run(folder, python, "-m", "venv", "--without-pip", str(folder))
        pip = (sys.executable, "-m", "pip", "--python", str(folder / "bin" / "python"), "install")
        for install in installs:
            _run(folder, *pip, *_QUIET, *install.options, *install.requirements)
        share(folder, folder.parent / ".files")
        (folder / "ready").touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(folder: Path, *command: str | Path) -> None:
    # the user's environment, which names pip's index and proxy, without what would mislead
    env = {name: text for name, text in os.environ.items() if name not in _MISLEADING.split()}
    with tempfile.TemporaryDirectory(prefix="onnxferry-", ignore_cleanup_errors=True) as temp:
        log = Path(temp) / "pip.log"
        try:
            with running(command, env={**env, "TMPDIR": temp}, cwd=log.parent, log=log) as process:
                code = process.wait(_LIMIT)
        except subprocess.TimeoutExpired as e:
            raise RehearsalError(f"{folder}: pip did not end within {_LIMIT:.0f} s") from e
        if code != 0:
            raise RehearsalError(
                f"{folder}: exit {code} of: {' '.join(map(str, command))}\n{tail(log, 30)}\nCheck"
                " the network, pip (22.3 or newer) and its index, or package for another Python"
            )

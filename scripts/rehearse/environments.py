"""The virtual environments that the runtimes need, made once and kept in the user's cache, named by
what is in them.

A folder is ready when it holds the file `ready`, which is written last; without it, it is made
anew. A lock beside it keeps two processes from making the same. (Making it elsewhere and renaming
would not do: an environment's scripts hold its path.)
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from onnxferry.scripts.rehearse.processes import running
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.system.console import Report
from onnxferry.system.errors import RehearsalError

_QUIET = ("--quiet", "--no-input", "--disable-pip-version-check", "--no-warn-script-location")
_MISLEADING = "PYTHONPATH PYTHONHOME VIRTUAL_ENV PIP_TARGET PIP_PREFIX PIP_USER PIP_CONSTRAINT"
_LIMIT = 1800.0  # seconds for one run of pip


def environment(
    name: str, python: Path, installs: Sequence[Install], cache: Path, report: Report
) -> Path:
    """The folder of a virtual environment made by `python` with `installs`; its interpreter is
    bin/python.

    Raises RehearsalError with the end of pip's output when it cannot be made; nothing of it is left
    then.
    """
    folder = cache / "envs" / f"{name}-{_key(python, installs)}"
    if not _ready(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(FileLock(f"{folder}.lock"), report):
            if not _ready(folder):
                with report(f"make the environment of {name} (once; kept in {folder})"):
                    _make(folder, python, installs)
    return folder


def _ready(folder: Path) -> bool:
    return (folder / "ready").is_file() and (folder / "bin" / "python").exists()


def _key(python: Path, installs: Sequence[Install]) -> str:
    """A hash of what decides the content: the interpreter and the requirements."""
    return hashlib.sha256(repr((str(python.resolve()), tuple(installs))).encode()).hexdigest()[:16]


@contextmanager
def _locked(lock: FileLock, report: Report) -> Iterator[None]:
    try:
        lock.acquire(blocking=False)
    except Timeout:
        with report("wait for another process that makes the same environment"):
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


def _make(folder: Path, python: Path, installs: Sequence[Install]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    try:
        _run(folder, python, ("-m", "venv", str(folder)))
        for install in installs:
            pip = ("-m", "pip", "install", *_QUIET, *install.options, *install.requirements)
            _run(folder, folder / "bin" / "python", pip)
        (folder / "ready").touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _run(folder: Path, python: Path, arguments: Sequence[str]) -> None:
    # the user's environment, which names pip's index and proxy, without what would mislead
    kept = {name: text for name, text in os.environ.items() if name not in _MISLEADING.split()}
    with tempfile.TemporaryDirectory(prefix="onnxferry-", ignore_cleanup_errors=True) as temp:
        log = Path(temp) / "pip.log"
        command, env = [str(python), *arguments], {**kept, "TMPDIR": temp}
        try:
            with running(command, env=env, cwd=Path(temp), log=log) as process:
                code = process.wait(_LIMIT)
        except subprocess.TimeoutExpired as e:
            raise RehearsalError(
                f"{folder}: pip did not end within {_LIMIT:.0f} s; try again when it is faster"
            ) from e
        if code != 0:
            tail = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-30:])
            raise RehearsalError(
                f"{folder}: this command failed (exit {code}): {' '.join(command)}\n"
                f"{tail}\nCheck the network and pip's index; where a version does not exist for"
                " this Python, package for another"
            )

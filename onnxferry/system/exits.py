"""How a command ends, and what the user typed to start it."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from onnxferry.system.errors import FerryError
from onnxferry.system.signals import interruptible


def program(command: str = "") -> str:
    """How `command` is run, the way this process was: "onnxferry package", "python deploy.py
    package" or "python -m scripts.package". Without it, what precedes a command's name."""
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    module = spec.parent if spec else ""
    if module == "onnxferry":
        start = "python -m onnxferry"
    elif module.startswith("scripts.") and command:
        return f"python -m scripts.{command}"
    elif module.startswith("scripts.") or Path(sys.argv[0]).name == "deploy.py":
        start = "python deploy.py"
    else:
        start = "onnxferry"
    return f"{start} {command}".strip()


@contextmanager
def cli_errors() -> Iterator[None]:
    """Run a command as the block: a known failure ends it by a message and an exit code, SIGTERM
    and SIGHUP as Ctrl-C does. A defect keeps its traceback."""
    try:
        with interruptible():
            yield
    except FerryError as e:
        _exit(str(e), e.exit_code)
    except OSError as e:
        # a full disk has no file name
        if e.filename is None and e.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        where = f"{e.filename}: " if e.filename else ""
        _exit(f"{where}{e.strerror}; give a path that can be used, on a disk with room", 1)


def _exit(message: str, code: int) -> None:
    click.secho(f"error: {message}", fg="red", err=True)
    sys.exit(code)

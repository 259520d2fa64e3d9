"""How a command line ends: a known failure by its message and exit code, a signal by cleaning up as
Ctrl-C does."""

from __future__ import annotations

import errno
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import click

from onnxferry.system.errors import FerryError

_FULL = (errno.ENOSPC, errno.EDQUOT)  # the system names no file with these


@contextmanager
def ending() -> Iterator[None]:
    """Run a command line as the block. What is not known, a defect, keeps its traceback."""
    try:
        with interruptible():
            yield
    except FerryError as e:
        _exit(str(e), e.exit_code)
    except OSError as e:
        if e.filename is None and e.errno not in _FULL:
            raise
        where = f"{e.filename}: " if e.filename else ""
        _exit(
            f"{where}{e.strerror}; give a path that can be read and written, on a disk with room", 1
        )


def _exit(message: str, code: int) -> None:
    click.secho(f"error: {message}", fg="red", err=True)
    sys.exit(code)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within the block SIGTERM and SIGHUP unwind as Ctrl-C does, so that what was started is
    stopped.

    Outside the main thread, where Python allows no handler, it changes nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.signal(number, _unwind) for number in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _unwind(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)

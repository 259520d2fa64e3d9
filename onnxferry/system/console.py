"""How commands talk: results on standard output, progress on standard error, one line a stage."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TextIO

from rich.console import Console
from rich.markup import escape

Progress = Callable[[str], None]  # what a stage is at: "upload 12 of 91 MB"
ReportStage = Callable[[str], AbstractContextManager[object]]  # `stage`, or a test's own
_QUIET = 30.0  # seconds between two notes where no terminal shows the spinner
ENDED = "%s: %.1f s"  # the log line of a stage's end
_LOG = logging.getLogger(__name__)


def _console(stream: TextIO, *, stderr: bool) -> Console:
    # a table in a file or a pipe is not cut to a terminal's 80 columns
    width = None if stream.isatty() else 140
    return Console(stderr=stderr, highlight=False, soft_wrap=True, width=width)


out = _console(sys.stdout, stderr=False)
err = _console(sys.stderr, stderr=True)


@contextmanager
def stage(title: str) -> Iterator[Progress]:
    """One stage of a longer work: a spinner while it runs, 'ok TITLE 1.2 s' at its end; the block
    says by Progress what it is at."""
    began = said = time.monotonic()
    with err.status(f"{escape(title)} ...") as status:

        def progress(text: str) -> None:
            nonlocal said
            status.update(f"{escape(title)}: {escape(text)}")
            if not err.is_terminal and time.monotonic() - said > _QUIET:
                said = time.monotonic()
                err.print(f"[dim]..[/dim] {escape(title)}: {escape(text)}")

        try:
            yield progress
        except BaseException:
            _ended("[red]failed[/red]", title, began)
            raise
    _ended("[green]ok[/green]", title, began)


def _ended(how: str, title: str, began: float) -> None:
    seconds = time.monotonic() - began
    err.print(f"{how} {escape(title)} {seconds:.1f} s")
    _LOG.info(ENDED, title, seconds)

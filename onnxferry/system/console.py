"""How scripts talk: results on standard output, progress on standard error, one line a stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

# a table in a file or a pipe is not cut to a terminal's 80 columns
WIDTH = None if sys.stdout.isatty() else 140
out = Console(highlight=False, soft_wrap=True, width=WIDTH)
err = Console(
    stderr=True, highlight=False, soft_wrap=True, width=None if sys.stderr.isatty() else 140
)


Progress = Callable[[str], None]  # what a stage is at: "upload 12 of 91 MB"
_QUIET = 30.0  # seconds between two notes where no terminal shows the spinner


@contextmanager
def stage(title: str) -> Iterator[Progress]:
    """Run one stage of a longer work: a spinner while it runs, 'ok TITLE 1.2 s' at its end.

    The block gets a function that says what it is at: beside the spinner, or as a line now and then
    in a log.
    """
    title, began = escape(title), time.monotonic()
    with err.status(f"{title} ...") as status:
        said = began

        def progress(text: str) -> None:
            nonlocal said
            status.update(f"{title}: {escape(text)}")
            if not err.is_terminal and time.monotonic() - said > _QUIET:
                said = time.monotonic()
                err.print(f"[dim]..[/dim] {title}: {escape(text)}")

        try:
            yield progress
        except BaseException:
            err.print(f"[red]failed[/red] {title} {time.monotonic() - began:.1f} s")
            raise
    err.print(f"[green]ok[/green] {title} {time.monotonic() - began:.1f} s")

"""How scripts talk: results on standard output, progress on standard error, one line a stage."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.markup import escape

WIDTH = None if sys.stdout.isatty() else 140  # a table in a file or a pipe is not cut to a terminal's 80 columns
out = Console(highlight=False, soft_wrap=True, width=WIDTH)
err = Console(stderr=True, highlight=False, soft_wrap=True)


@contextmanager
def stage(title: str) -> Iterator[None]:
    """Run one stage of a longer work: a spinner while it runs, 'ok TITLE 1.2 s' at its end."""
    title, began = escape(title), time.monotonic()
    with err.status(f"{title} ..."):
        try:
            yield
        except BaseException:
            err.print(f"[red]failed[/red] {title} {time.monotonic() - began:.1f} s")
            raise
    err.print(f"[green]ok[/green] {title} {time.monotonic() - began:.1f} s")

"""Logging of one command: by -v to standard error, by --log-file to a file."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

LOGGER = logging.getLogger("onnxferry")


@contextmanager
def logging_to(file: Path | None, *, verbose: bool = False) -> Iterator[None]:
    """Within the block all that `onnxferry` logs, and how the block failed, goes to `file` and, if
    `verbose`, to standard error. Raises OSError for an unwritable file."""
    # without any handler logging itself would print errors, with tracebacks
    console = logging.StreamHandler(sys.stderr) if verbose else logging.NullHandler()
    handlers: list[logging.Handler] = [console]
    if file:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
    before = LOGGER.level
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        LOGGER.addHandler(handler)
    if verbose or file:
        LOGGER.setLevel(logging.DEBUG)
    try:
        yield
    except Exception:
        LOGGER.debug("the command failed", exc_info=True)
        raise
    finally:
        LOGGER.setLevel(before)
        for handler in handlers:
            LOGGER.removeHandler(handler)
            handler.close()

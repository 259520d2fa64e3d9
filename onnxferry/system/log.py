"""Logging of one command: by -v to standard error, by --log-file to a file."""

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
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)] if verbose else []
    if file:
        handlers.append(logging.FileHandler(file, encoding="utf-8"))
    before = LOGGER.level
    for handler in handlers:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
        LOGGER.addHandler(handler)
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

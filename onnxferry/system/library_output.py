"""Silences what the libraries print and log, so that the user sees the stage lines. Errors
propagate."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import warnings
from collections.abc import Iterator

_OFFLINE = {
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "TRANSFORMERS_VERBOSITY": "error",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
# PyTorch's threads wait in sleep, not in a loop: on a busy machine of two cores a text took 108 ms
# instead of 1644.
_WAITING = {"OMP_WAIT_POLICY": "PASSIVE"}


@contextlib.contextmanager
def silence_libraries() -> Iterator[None]:
    """No warnings, no prints, no log lines below error but this project's. What is imported inside
    uses no network, and its threads sleep while waiting, unless the environment says otherwise."""
    with _environment(), _log_levels(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with contextlib.redirect_stdout(io.StringIO()):
            yield


@contextlib.contextmanager
def _log_levels() -> Iterator[None]:
    ours = logging.getLogger("onnxferry")
    others = [logging.getLogger(name) for name in list(logging.root.manager.loggerDict)]
    libraries = [log for log in others if log.level and not f"{log.name}.".startswith("onnxferry.")]
    before = {log: log.level for log in (ours, logging.root, *libraries)}
    ours.setLevel(ours.getEffectiveLevel())
    for log in (logging.root, *libraries):
        log.setLevel(max(log.level, logging.ERROR))
    try:
        yield
    finally:
        for log, level in before.items():
            log.setLevel(level)


@contextlib.contextmanager
def _environment() -> Iterator[None]:
    before = dict(os.environ)
    os.environ.update({**_WAITING, **before, **_OFFLINE})
    try:
        yield
    finally:
        for key in {**_WAITING, **_OFFLINE}:
            del os.environ[key]
        os.environ.update(before)

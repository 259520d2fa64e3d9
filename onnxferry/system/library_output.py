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
    os.environ.update({"OMP_WAIT_POLICY": "PASSIVE", **before, **_OFFLINE})
    try:
        yield
    finally:
        for key in ("OMP_WAIT_POLICY", *_OFFLINE):
            del os.environ[key]
        os.environ.update(before)

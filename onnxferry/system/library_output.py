"""Silences what the libraries print and log, so that the user sees the stage lines. Errors
propagate."""

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
    """No warnings, no log lines below error, no prints. What is imported inside uses no network,
    and its threads sleep while they wait, unless the environment says otherwise."""
    with _environment(), warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        disabled = logging.root.manager.disable
        logging.disable(logging.WARNING)
        try:
            yield
        finally:
            logging.disable(disabled)


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

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
    """No warnings, no log lines below error, no prints; for what is imported inside no network, and
    threads that wait in sleep, not in a loop, unless the environment says how they wait."""
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
    wanted = {"OMP_WAIT_POLICY": "PASSIVE", **os.environ, **_OFFLINE}
    before = {key: os.environ.get(key) for key in ("OMP_WAIT_POLICY", *_OFFLINE)}
    os.environ.update({key: wanted[key] for key in before})
    try:
        yield
    finally:
        for key, value in before.items():
            os.environ.pop(key, None)
            if value is not None:
                os.environ[key] = value

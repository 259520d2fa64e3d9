"""A model that is loaded in a thread, so that the host's time to start an app is not used up by a
large one."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from onnxferry.scoring import Scorer, ScoringError, load
from onnxferry.scoring.errors import InternalError, ModelError

_log = logging.getLogger("scoring")


class ModelLoading:
    """The model in `folder`, being loaded from now on, once: where that fails, the next process
    tries again."""

    def __init__(self, folder: Path) -> None:
        thread = ThreadPoolExecutor(1, "load")
        self._loaded = thread.submit(_load, folder)
        thread.shutdown(wait=False)

    @property
    def state(self) -> str:
        """ "loading", "ready" or "failed"."""
        if not self._loaded.done():
            return "loading"
        return "ready" if isinstance(self.outcome(), Scorer) else "failed"

    def outcome(self) -> Scorer | ScoringError:
        """Wait for the scorer, or why there is none."""
        return self._loaded.result()


def _load(folder: Path) -> Scorer | ScoringError:
    try:
        return load(folder)
    except ScoringError as e:
        _log.error("the model cannot be loaded: %s", e)
        return ModelError(str(e).replace(f"{folder.parent}/", ""))
    except Exception:
        _log.exception("unexpected failure while the model was loaded")
        return InternalError("the model could not be loaded; the host's log has the cause")

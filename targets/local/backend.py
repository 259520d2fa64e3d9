"""Where requests are scored: a Backend; here in threads of this process."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from onnxferry import scoring
from onnxferry.scoring import timing
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.golden import mismatch
from onnxferry.scoring.wire import CPU_HEADER
from onnxferry.targets.local import forms
from onnxferry.targets.local.observation import Observation, Observer, unobserved

LOG_FORMAT = "%(asctime)s %(levelname)s %(name)s %(message)s"
CALLS = 32  # scored at once; those that wait for the engine share its runs


@dataclass(frozen=True)
class Served:
    """One model: its name here, its directory and what that holds."""

    name: str
    folder: Path
    spec: scoring.ModelSpec

    @staticmethod
    def read(name: str, folder: Path) -> Served:
        """With the limits that the environment sets. Raises ModelError."""
        spec = scoring.ModelSpec.read(folder)
        return Served(name, folder, replace(spec, limits=spec.limits.overridden(os.environ)))


class Backend(Protocol):
    """What scores requests, by the names of models and of forms (see forms.FORMS)."""

    async def start(self) -> None:
        """Load every model. Raises ScoringError that names the directory."""

    @property
    def models(self) -> Mapping[str, Served]:
        """The models that are loaded, in the order of the configuration."""

    async def handle(self, model: str, request: scoring.Request, form: str) -> scoring.Response:
        """What Scorer.handle of `model` answers. Raises KeyError for an unknown model."""

    @property
    def pids(self) -> Sequence[int]:
        """The scoring processes behind this one."""

    @property
    def restarts(self) -> int:
        """How many of them died and had another started in their place."""

    @property
    def waiting(self) -> int:
        """Requests that nothing scores yet."""

    async def replace(self, model: str, folder: Path) -> None:
        """Load the model from `folder`, then let that answer in place of the old one. Raises
        ScoringError, and the old one stays."""

    async def stop(self) -> None:
        """End when what was accepted is answered."""


class ThreadBackend:
    """A Backend in this process."""

    pids: Sequence[int] = ()
    restarts = 0

    def __init__(
        self, folders: Mapping[str, Path], calls: int = CALLS, observer: Observer = unobserved
    ) -> None:
        self._folders, self._observer = folders, observer
        self._scorers: dict[str, scoring.Scorer] = {}
        self._served: dict[str, Served] = {}
        self._threads = ThreadPoolExecutor(calls, "score")
        self._calls, self._accepted = calls, 0

    @property
    def models(self) -> Mapping[str, Served]:
        """See Backend."""
        return self._served

    @property
    def waiting(self) -> int:
        """See Backend."""
        return max(0, self._accepted - self._calls)

    async def start(self) -> None:
        """See Backend."""
        for name, folder in self._folders.items():
            await self.replace(name, folder)

    async def handle(self, model: str, request: scoring.Request, form: str) -> scoring.Response:
        """See Backend."""
        scorer, loop = self._scorers[model], asyncio.get_running_loop()
        self._accepted += 1
        try:
            return await loop.run_in_executor(
                self._threads, scorer.handle, request, forms.named(form)
            )
        finally:
            self._accepted -= 1

    async def replace(self, model: str, folder: Path) -> None:
        """See Backend."""

        def observe(*finished: Any) -> None:
            self._observer(model, Observation.of(*finished))

        loop = asyncio.get_running_loop()
        proved = model in self._scorers  # else the server proves it, before it is ready
        scorer = await loop.run_in_executor(None, load, folder, observe, proved)
        self._scorers[model], self._served[model] = scorer, Served(model, folder, scorer.spec)

    async def stop(self) -> None:
        """See Backend."""
        self._threads.shutdown()


def load(folder: Path, observer: timing.Observer, proved: bool) -> scoring.Scorer:
    """The scorer of a model that is to be served; `proved`: it answers its golden requests, of
    which `observer` is not told. Raises ScoringError."""
    told: list[timing.Observer] = []

    def tell(metrics: timing.RequestMetrics, status: int, code: str | None) -> None:
        for one in told:
            one(metrics, status, code)

    scorer = scoring.load(folder, observer=tell)
    for golden in scorer.spec.golden.all if proved and scorer.spec.golden else ():
        answer = scorer.handle(golden.request)
        if found := mismatch(golden, answer.status, answer.body, answer.headers[CPU_HEADER]):
            raise ModelError(f"{folder}: {found}")
    told.append(observer)
    return scorer


def folders(models: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """Each model's directory by its name, "" for the one in its spec. Raises ModelError."""
    named: dict[str, Path] = {}
    for given, path in models:
        name = given or scoring.ModelSpec.read(path).name
        if name in named:
            what = f"{named[name]} and {path} are both called {name}"
            raise ModelError(f"{what}; give one another name")
        named[name] = path
    return named

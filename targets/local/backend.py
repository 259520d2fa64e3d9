"""Where requests are scored: a Backend; here in threads of this process."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from onnxferry import scoring
from onnxferry.scoring.errors import ModelError
from onnxferry.targets.local import forms

CALLS = 32  # scored at once; those that wait for the engine share its runs


@dataclass(frozen=True)
class Served:
    """One model: its name here, its directory and what that holds."""

    name: str
    folder: Path
    spec: scoring.ModelSpec


class Backend(Protocol):
    """What scores requests, by the names of models and of forms (see forms.FORMS)."""

    async def start(self) -> None:
        """Load every model. Raises ScoringError that names the directory."""

    @property
    def models(self) -> Mapping[str, Served]:
        """The models that are loaded, in the order of the configuration."""

    async def handle(self, model: str, request: scoring.Request, form: str) -> scoring.Response:
        """What Scorer.handle of `model` answers. Raises KeyError for an unknown model."""

    async def replace(self, model: str) -> None:
        """Load the model's directory anew, then let it answer in place of the old one. Raises
        ScoringError, and the old one stays."""

    async def stop(self) -> None:
        """End when what was accepted is answered."""


class ThreadBackend:
    """A Backend in this process."""

    def __init__(self, folders: Mapping[str, Path], calls: int = CALLS) -> None:
        self._folders = folders
        self._scorers: dict[str, scoring.Scorer] = {}
        self._threads = ThreadPoolExecutor(calls, "score")

    @property
    def models(self) -> Mapping[str, Served]:
        """See Backend."""
        loaded = self._scorers.items()
        return {name: Served(name, self._folders[name], s.spec) for name, s in loaded}

    async def start(self) -> None:
        """See Backend."""
        for name in self._folders:
            await self.replace(name)

    async def handle(self, model: str, request: scoring.Request, form: str) -> scoring.Response:
        """See Backend."""
        scorer, loop = self._scorers[model], asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, scorer.handle, request, forms.named(form))

    async def replace(self, model: str) -> None:
        """See Backend."""
        loop = asyncio.get_running_loop()
        folder = self._folders[model]
        self._scorers[model] = await loop.run_in_executor(None, scoring.load, folder)

    async def stop(self) -> None:
        """See Backend."""
        self._threads.shutdown()


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

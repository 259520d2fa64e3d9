"""The measurement: rounds in which the servers take turns, each alone on the machine and started
anew, every second round in the reverse order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from onnxferry.scripts.benchmark.server.load import LoadGenerator
from onnxferry.scripts.benchmark.server.process import serving
from onnxferry.scripts.benchmark.server.protocols import Answer
from onnxferry.scripts.benchmark.server.specs import ServerSpec
from onnxferry.scripts.benchmark.server.steps import CHECKED, Loads, LoadSettings, Step
from onnxferry.system.console import Progress
from onnxferry.system.errors import BenchmarkError


@dataclass(frozen=True)
class Round:
    """One life of a server. `start`: seconds to the first right answer; `answers` to the first
    texts, each asked alone."""

    start: float | None
    answers: tuple[Answer, ...]
    steps: Mapping[str, Step]


@dataclass(frozen=True)
class ServerResult:
    """A server and its rounds, or what it said when it did not start or answer."""

    spec: ServerSpec
    rounds: tuple[Round, ...]
    failure: str = ""

    def steps(self, name: str) -> list[Step]:
        """That step of each round."""
        return [r.steps[name] for r in self.rounds if name in r.steps]

    def all_steps(self) -> list[Step]:
        """Those of all rounds."""
        return [step for r in self.rounds for step in r.steps.values()]


def measure(
    specs: Sequence[ServerSpec],
    texts: Sequence[Any],
    settings: LoadSettings,
    generator: LoadGenerator,
    progress: Progress,
) -> list[ServerResult]:
    """Each server's rounds. One that fails is left out of the rounds after that."""
    turn = _Turn(texts, settings, generator, progress)
    found: dict[str, list[Round]] = {spec.name: [] for spec in specs}
    failures: dict[str, str] = {}
    for number in range(settings.rounds):
        for spec in reversed(specs) if number % 2 else specs:
            if spec.name in failures:
                continue
            try:
                found[spec.name].append(turn.play(spec, number))
            except BenchmarkError as e:
                failures[spec.name] = str(e)
    return [ServerResult(s, tuple(found[s.name]), failures.get(s.name, "")) for s in specs]


@dataclass(frozen=True)
class _Turn:
    """One server's turn in a round."""

    texts: Sequence[Any]
    settings: LoadSettings
    generator: LoadGenerator
    progress: Progress

    def play(self, spec: ServerSpec, number: int) -> Round:
        """Start it and carry out all steps. Raises BenchmarkError when it does not start, or does
        not answer when it is asked alone."""
        where = f"round {number + 1} of {self.settings.rounds}: {spec.name}"
        self.progress(f"{where}, start")
        bodies = tuple(spec.protocol.ask(text, spec.model) for text in self.texts)
        with serving(spec, bodies[0], self.settings.headers) as server:
            alone = server.answers(bodies[:CHECKED])
            steps = {}
            for step in Loads(server, bodies, alone, self.settings, number).play(self.generator):
                self.progress(f"{where}, {step.name}: {step.load.rate:.0f} requests/s")
                steps[step.name] = step
        return Round(server.start, alone, steps)

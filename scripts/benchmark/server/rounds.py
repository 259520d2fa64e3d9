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


@dataclass(frozen=True)
class Round:
    """One life of a server. `start`: seconds to the first right answer; `answers` to the first
    texts, each asked alone."""

    start: float | None
    answers: tuple[Answer, ...]
    steps: Mapping[str, Step]


@dataclass(frozen=True)
class ServerResult:
    """A server and its rounds."""

    spec: ServerSpec
    rounds: tuple[Round, ...]

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
    """Each server's rounds. Raises BenchmarkError when one does not start or answer."""
    found: dict[str, list[Round]] = {spec.name: [] for spec in specs}
    for number in range(settings.rounds):
        for spec in reversed(specs) if number % 2 else specs:
            where = f"round {number + 1} of {settings.rounds}: {spec.name}"
            progress(f"{where}, start")
            bodies = tuple(spec.protocol.ask(text, spec.model) for text in texts)
            with serving(spec, bodies[0], settings.headers) as server:
                alone = server.answers(bodies[:CHECKED])
                steps = {}
                for step in Loads(server, bodies, alone, settings, number).play(generator):
                    progress(f"{where}, {step.name}: {step.load.rate:.0f} requests/s")
                    steps[step.name] = step
                found[spec.name].append(Round(server.start, alone, steps))
    return [ServerResult(spec, tuple(found[spec.name])) for spec in specs]

"""The model with some engine options in a process of its own, as the benchmark starts it: the
options reach it by the variables that a deployment has for them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from onnxferry.scoring.engine_options import PREFIX, EngineOptions
from onnxferry.scripts.benchmark.rounds import BenchmarkSettings, RunningEngine
from onnxferry.scripts.benchmark.specs import EngineSpec
from onnxferry.scripts.prepare.tuning.questions import Questions
from onnxferry.scripts.prepare.tuning.scenario import LATENCY, RATE, Scenario
from onnxferry.system.errors import UsageError

STREAMS = 32  # requests at once that arrive by a rate: what the local server lets in
CAPACITY = 1.0  # seconds in which the most that is answered is measured


@dataclass(frozen=True)
class ModelProcesses:
    """Starts the model directory `folder` for a scenario."""

    folder: Path
    questions: Questions
    settings: BenchmarkSettings

    @contextmanager
    def running(self, options: EngineOptions) -> Iterator[RunningEngine]:
        """With these options. Raises BenchmarkError where it cannot be loaded or asked."""
        spec = EngineSpec(
            "onnxferry", self.folder, "the model", {"whole_requests": True}, variables(options)
        )
        with ExitStack() as stack:
            engine = RunningEngine(spec, self.questions.requests, self.settings)
            engine.start(stack)
            yield engine


def variables(options: EngineOptions) -> Mapping[str, str]:
    """The environment that sets all of them."""
    return {PREFIX + name.upper(): str(int(value)) for name, value in asdict(options).items()}


def settings(task: str, scenario: Scenario, cpus: int) -> BenchmarkSettings:
    """Of a scenario whose rate is known."""
    kind = scenario.kind
    streams = {LATENCY: 1, RATE: STREAMS}.get(scenario.name, cpus)
    return BenchmarkSettings(
        task, kind.benchmark, streams=streams, rate=scenario.rate, seconds=kind.seconds
    )


def with_rate(
    scenario: Scenario, folder: Path, questions: Questions, options: EngineOptions
) -> Scenario:
    """The scenario with a rate that `options` can answer: half of the most, where none was asked
    for. Raises UsageError for more than the most."""
    if scenario.name != RATE:
        return scenario
    busy = BenchmarkSettings("", "async", streams=STREAMS, seconds=CAPACITY)
    with ModelProcesses(folder, questions, busy).running(options) as engine:
        engine.play(0)
        played = engine.play(1)
    most = played.items / played.seconds
    if scenario.rate is None:
        return Scenario(RATE, max(1.0, round(most / 2, 1)))
    if scenario.rate > most:
        this = f"this host answers at most {most:.3g} requests a second of this model"
        raise UsageError(f"--tune rate={scenario.rate:g}: {this}; give less, or throughput")
    return scenario

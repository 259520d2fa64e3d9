"""The CPUs that engines may use: DeepSparse's schedulers, and a Context that several engines
share."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from enum import Enum

from onnxferry.pipelines.errors import PipelineError
from onnxferry.scoring import cpu, timing
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.engine_options import EngineOptions


class Scheduler(Enum):
    """`single_stream`: a run has all cores. `multi_stream`, `elastic`: runs share them."""

    default = "single_stream"
    single_stream = "single_stream"
    multi_stream = "multi_stream"
    elastic = "elastic"

    @staticmethod
    def from_str(key: str) -> Scheduler:
        """Of DeepSparse's names. Raises PipelineError."""
        if key not in SCHEDULERS:
            raise PipelineError(f"unknown scheduler '{key}'; known: {', '.join(SCHEDULERS)}")
        return SCHEDULERS[key]


SCHEDULERS = {
    **dict.fromkeys(("default", "sync", "single", "single_stream"), Scheduler.single_stream),
    **dict.fromkeys(("async", "multi", "multi_stream"), Scheduler.multi_stream),
    "elastic": Scheduler.elastic,
}


def chosen(scheduler: Scheduler | str | None) -> Scheduler:
    """The scheduler of an argument. Raises PipelineError."""
    found = scheduler or Scheduler.default
    return found if isinstance(found, Scheduler) else Scheduler.from_str(str(found))


def options(
    num_cores: int | None, num_streams: int | None, scheduler: Scheduler | str | None
) -> EngineOptions:
    """What ONNX Runtime may use. Streams share the cores: with 4 cores and 2 streams a run has 2
    threads. Without a number there are as many streams as cores."""
    cores = num_cores or cpu.available()
    if chosen(scheduler) is Scheduler.single_stream:
        return EngineOptions(threads=cores, parallel_runs=num_streams or 0)
    streams = min(num_streams or cores, cores)
    return EngineOptions(threads=cores // streams, parallel_runs=streams)


class Context:
    """At most `num_streams` runs of all the engines that share it are under way at a time, on
    `num_cores` CPUs together."""

    def __init__(
        self,
        num_cores: int | None = None,
        num_streams: int | None = None,
        scheduler: Scheduler | str | None = Scheduler.elastic,
    ) -> None:
        """None: all CPUs, and as many streams as cores. Raises PipelineError."""
        self.scheduler = chosen(scheduler)
        single = self.scheduler is Scheduler.single_stream
        self.num_cores = num_cores or cpu.available()
        self.num_streams = 1 if single else min(num_streams or self.num_cores, self.num_cores)
        self._pool = ThreadPoolExecutor(self.num_streams, "context")

    @property
    def engine_options(self) -> EngineOptions:
        """Of each engine."""
        return EngineOptions(threads=self.num_cores // self.num_streams, parallel_runs=1)

    def shared(self, runner: Runner) -> Runner:
        """`runner`, whose runs wait for one of the streams."""
        return _Shared(runner, self._pool, self.num_streams)

    def __repr__(self) -> str:
        streams = f"num_streams={self.num_streams}, scheduler={self.scheduler}"
        return f"Context(num_cores={self.num_cores}, {streams})"


class _Shared:
    """A Runner whose runs are done by the threads of a pool."""

    def __init__(self, runner: Runner, pool: ThreadPoolExecutor, streams: int) -> None:
        self._runner, self._pool, self.parallel_runs = runner, pool, streams
        self.inputs, self.outputs = runner.inputs, runner.outputs
        self.batch_dependent, self.shared_runs = runner.batch_dependent, runner.shared_runs

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """See Runner."""
        with timing.stage("engine"):
            return self._pool.submit(self._runner.run, feeds).result()

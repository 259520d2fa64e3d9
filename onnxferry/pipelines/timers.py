"""DeepSparse's timers: the seconds of each stage of a pipeline's calls."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

PRE_PROCESS, ENGINE_FORWARD, POST_PROCESS = "pre_process", "engine_forward", "post_process"
TOTAL_INFERENCE = "total_inference"
STAGES = {  # of scoring.timing -> DeepSparse's
    "decode": PRE_PROCESS,
    "preprocess": PRE_PROCESS,
    "queue": ENGINE_FORWARD,
    "engine": ENGINE_FORWARD,
    "postprocess": POST_PROCESS,
    "encode": POST_PROCESS,
}


@dataclass(frozen=True)
class StagedTimer:
    """Of one call: `times`, the seconds of each stage. Waiting for a shared run counts as
    engine_forward."""

    times: Mapping[str, float] = field(default_factory=dict)

    @staticmethod
    def of(seconds: Mapping[str, float]) -> StagedTimer:
        """From the seconds of scoring's stages."""
        times = dict.fromkeys((PRE_PROCESS, ENGINE_FORWARD, POST_PROCESS), 0.0)
        for stage, spent in seconds.items():
            times[STAGES[stage]] += spent
        return StagedTimer({**times, TOTAL_INFERENCE: sum(seconds.values())})

    @property
    def stages(self) -> list[str]:
        """The names."""
        return list(self.times)

    @property
    def all_times(self) -> dict[str, list[float]]:
        """The seconds of each stage, in a list."""
        return {stage: [spent] for stage, spent in self.times.items()}

    def has_stage(self, stage: str) -> bool:
        """Whether it was timed."""
        return stage in self.times

    def stage_times(self, stage: str) -> list[float]:
        """The seconds of a stage, in a list."""
        return self.all_times[stage]

    def stage_average_time(self, stage: str) -> float:
        """The seconds of a stage."""
        return self.times[stage]


@dataclass
class TimerManager:
    """`timers`: of the latest call or, with `multi`, of all."""

    multi: bool = False
    timers: list[StagedTimer] = field(default_factory=list)

    def add(self, timer: StagedTimer) -> None:
        """Keep a call's timer."""
        self.timers = [*self.timers, timer] if self.multi else [timer]

    @property
    def latest(self) -> StagedTimer | None:
        """Of the latest call, None before the first."""
        return self.timers[-1] if self.timers else None

    @property
    def stages(self) -> list[str]:
        """The names of the stages that were timed."""
        return list(dict.fromkeys(stage for timer in self.timers for stage in timer.stages))

    @property
    def all_times(self) -> dict[str, list[float]]:
        """The seconds of each stage in every call that is kept."""
        return {stage: [t.times[stage] for t in self.timers] for stage in self.stages}

    @property
    def times(self) -> dict[str, float]:
        """The mean seconds of each stage."""
        return {stage: sum(spent) / len(spent) for stage, spent in self.all_times.items()}

    def clear(self) -> None:
        """Forget all."""
        self.timers = []

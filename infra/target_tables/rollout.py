"""The tables `rollout`: how a new version takes the traffic over."""

from __future__ import annotations

import math
from typing import Literal

import pydantic
from pydantic import Field

from onnxferry.infra import environment_variables as variables
from onnxferry.infra.target_tables.table import Table

LONGEST_SECONDS = 28800  # of one update, as SageMaker has it
_LONGEST_WAITS = LONGEST_SECONDS - 1800  # half an hour to start in


class Rollout(Table):
    """How a new version takes the traffic over."""

    traffic: Literal["all_at_once", "canary", "linear"] = "all_at_once"
    """All of it at once, first a part (canary), or in equal steps (linear)."""
    step_percent: int = Field(10, ge=1, le=50)
    """The canary's part, or a linear step, in percent."""
    wait_seconds: int = Field(300, ge=0, le=3600)
    """How long a version is watched after each step."""
    latency_factor: float = Field(5.0, gt=1)
    """The longest latency that is taken (p95): so many times the rehearsal's."""

    @property
    def step_seconds(self) -> int:
        """How long an update waits between its first step and its last."""
        steps = {"canary": 1, "linear": math.ceil(100 / self.step_percent) - 1}
        return steps.get(self.traffic, 0) * self.wait_seconds


class SageMakerRollout(Rollout):
    """How a new version takes the traffic over."""

    termination_wait_seconds: int | None = Field(None, ge=0, le=3600)
    """How long the alarms are watched after the last step, while the old instances stay; default:
    wait_seconds where there are alarms, else 0."""
    alarms: bool = True
    """Make CloudWatch alarms, of the model's errors and its latency, that roll an update back."""
    other_alarms: tuple[str, ...] = ()
    """Names of CloudWatch alarms of yours that roll an update back, too."""
    shadow: int = Field(0, ge=0, le=100)
    """Percent of the requests that a new version gets as a copy, while the old one goes on
    answering; 0: it takes over."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> SageMakerRollout:
        if self.traffic == "linear" and self.step_percent < 10:
            raise variables.problem(
                f"a linear step is 10 to 50 percent; got step_percent = {self.step_percent}"
            )
        last = self.wait_seconds if self.termination_wait_seconds is None else 0
        if self.step_seconds + (self.termination_wait_seconds or last) > _LONGEST_WAITS:
            raise variables.problem(
                f"{self.step_seconds} s of waits between the steps, and those after the last, are"
                f" more than SageMaker allows one update ({_LONGEST_WAITS} s, so that its instances"
                " have time to start): lower wait_seconds, or raise step_percent"
            )
        return self


class AzureMLRollout(Rollout):
    """How a new version takes the traffic over."""

    checks: bool = True
    """Look at the new version's errors and latency in Azure Monitor after each step, also the last,
    and take the traffic back where they are too many or too long."""
    error_percent: float = Field(1.0, ge=0, le=100)
    """Most requests that may fail (5xx, or 408 and 429: too slow, too busy), in percent of those of
    a step."""
    latency_factor: float = Field(5.0, gt=1)
    """The longest latency that is taken (p95): so many times the rehearsal's, or that of the
    version that serves, whichever is longer."""
    mirror: int = Field(0, ge=0, le=50)
    """Percent of the requests that a new version gets as a copy, while the old one goes on
    answering; 0: it takes over."""

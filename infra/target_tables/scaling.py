"""The table `scaling`: between which limits a platform scales by itself, and by what."""

from __future__ import annotations

from collections.abc import Iterator

import pydantic
from pydantic import Field

from onnxferry.infra import environment_variables as variables
from onnxferry.infra.target_tables.schedules import wrong_schedule, wrong_timezone
from onnxferry.infra.target_tables.table import Table
from onnxferry.infra.target_tables.weekly import weekly, windows_zone

_MOST_PROFILES = 20  # of an autoscale setting, with that which holds before any time


class ScheduledAction(Table):
    """Other limits from a time on."""

    at: str = Field(pattern=r"^(cron|rate|at)\(.+\)$")
    """When: cron(...), rate(...) or at(...), as Application Auto Scaling takes it."""
    timezone: str = "UTC"
    """Time zone of `at`, like Europe/Berlin."""
    min: int | None = Field(None, ge=0)
    """Least instances from then on."""
    max: int | None = Field(None, ge=1)
    """Most instances from then on."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> ScheduledAction:
        for wrong in (wrong_schedule(self.at), wrong_timezone(self.timezone)):
            if wrong:
                raise variables.problem(f'{wrong}; got "{self.at}", "{self.timezone}"')
        if self.min is None and self.max is None:
            raise variables.problem(f'"{self.at}" sets neither min nor max')
        return self


class Scaling(Table):
    """Autoscaling of the instances, or of the provisioned concurrency of a serverless endpoint."""

    min: int = Field(1, ge=0)
    """Least instances; 0 only where mode = "async"."""
    max: int = Field(ge=1)
    """Most instances."""
    target: float | None = Field(None, gt=0)
    """What each instance shall get: requests a minute, in mode async requests that wait, in mode
    serverless the used part of the provisioned concurrency. Default: by the package's rehearsal."""
    scale_out_seconds: int = Field(60, ge=0, le=3600)
    """Cool-down after instances were added."""
    scale_in_seconds: int = Field(300, ge=0, le=3600)
    """Cool-down after instances were taken away."""
    schedule: tuple[ScheduledAction, ...] = ()
    """Other limits at given times, each with at, timezone, min and max."""

    @pydantic.model_validator(mode="after")
    def _fit(self) -> Scaling:
        if self.min > self.max:
            raise variables.problem(f"min ({self.min}) is more than max ({self.max})")
        for one in self.schedule:
            least, most = one.min, one.max
            least, most = (self.min if least is None else least), most or self.max
            if least > most:
                raise variables.problem(
                    f'from "{one.at}" on, min ({least}) is more than max ({most})'
                )
        return self


class AzureMLScaling(Scaling):
    """Autoscaling of the instances, by Azure Monitor, or of the pods, by the cluster."""

    min: int = Field(1, ge=1)
    """Least instances."""
    target: float | None = Field(None, gt=0)
    """Requests a minute that each instance shall get. Default: by the package's rehearsal, where
    cpu_percent is not set either."""
    cpu_percent: int | None = Field(None, ge=10, le=90)
    """Used part of the CPUs that the instances shall have, in percent; 70 where nothing says what
    the target is. With a target, too, instances are added where either asks for it. On Kubernetes:
    part of the pods that are busy."""
    scale_out_seconds: int = Field(300, ge=60, le=3600)
    """Cool-down after an instance was added. On Kubernetes: how often the pods are counted anew."""
    scale_in_seconds: int = Field(300, ge=60, le=3600)
    """Cool-down after an instance was taken away."""

    @pydantic.model_validator(mode="after")
    def _weekly(self) -> AzureMLScaling:
        try:
            for one in self.schedule:
                weekly(one.at)
                windows_zone(one.timezone)
        except ValueError as e:
            raise variables.problem(f'{e}; got "{one.at}", "{one.timezone}"') from e
        except ImportError:  # this machine cannot deploy to Azure, which would say it again
            return self
        begins = [(one.timezone, *time) for one in self.schedule for time in _times(one)]
        if twice := {"{2}:{3:02}".format(*t) for t in begins if begins.count(t) > 1}:
            raise variables.problem(f"two entries of schedule begin at {', '.join(sorted(twice))}")
        if 1 + sum(len(weekly(one.at)) for one in self.schedule) > _MOST_PROFILES:
            raise variables.problem(
                f"Azure Monitor takes {_MOST_PROFILES - 1} times of the day; schedule has more"
            )
        return self


def _times(action: ScheduledAction) -> Iterator[tuple[str, int, int]]:
    """Each day, hour and minute at which an action begins."""
    return ((day, time.hour, time.minute) for time in weekly(action.at) for day in time.days)

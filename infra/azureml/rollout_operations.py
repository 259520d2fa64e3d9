"""How the steps of a roll-out are executed: what watches a new version, and takes it for failed."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from onnxferry.infra.azureml import metrics
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.rollout import LATE_SECONDS
from onnxferry.infra.azureml.smoke import SmokeTest
from onnxferry.infra.azureml.state import Clients
from onnxferry.infra.errors import NotHealthy, Unavailable
from onnxferry.infra.plan import Step
from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.infra.tidying import told
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress

_MINUTE = 60  # Azure Monitor counts by the minute
_CLEAR = 5  # requests that have failed before the time is over: one may have been bad luck


class RolloutOperations:
    """Of azureml.operations.Operations."""

    clients: Clients
    names: Names
    clock: Clock
    progress: Progress

    def pause(self, step: Step) -> None:
        """Wait, and look at nothing."""
        for waited in self._minutes(step.parameters["seconds"]):
            self.progress(f"{waited} s of {step.parameters['seconds']} s")

    def watch_requests(self, step: Step) -> None:
        """Watch what a deployment answers for some time, and until Azure Monitor has counted all of
        it. Raises NotHealthy, with the container's log, as soon as it clearly fails."""
        watch = _Watch(self.clients, self.names, step.name, step.parameters)
        since = watch.begin()
        seconds = step.parameters["seconds"]
        for waited in self._minutes(seconds + LATE_SECONDS):
            with suppress(Unavailable):  # it is asked again
                found = watch.found(since, min(waited, seconds))
                self.progress(f"{found}, after {waited} s of {seconds + LATE_SECONDS} s")
                if found.failed >= _CLEAR and watch.failing(found):
                    break
        self._judge(watch, since)

    def _judge(self, watch: _Watch, since: datetime) -> None:
        found = watch.found(since, watch.facts["seconds"])
        limit = watch.limit_ms(since) if found.requests else None
        with SmokeTest(self.clients, self.names, self.clock).logged(watch.deployment):
            watch.check(found, limit)
        if not found.requests:
            told(f"{watch.where}: no requests came, so all that is known is its golden answer")
        elif limit is None or found.p95_ms is None:
            told(f"{watch.where}: {found}; nothing is known to compare its latency with")
        else:
            told(f"{watch.where}: {found} (limit {limit:.4g} ms)")

    def _minutes(self, seconds: int) -> Iterator[int]:
        """Sleep minute by minute; how many seconds of them have passed."""
        for n in range(1, math.ceil(seconds / _MINUTE) + 1):
            waited = min(n * _MINUTE, seconds)
            self.clock.sleep(waited - (n - 1) * _MINUTE)
            yield waited


@dataclass(frozen=True)
class _Watch:
    """Of a deployment, by the `facts` of a step: its share, its limits, for how long, and `beside`,
    which serves."""

    clients: Clients
    names: Names
    deployment: str
    facts: Mapping[str, Any]

    @property
    def where(self) -> str:
        share = self.facts["share"]
        return f"deployment {self.deployment} at {share} % of {self.names.where}"

    def begin(self) -> datetime:
        """The first full minute from now, by Azure's clock: golden requests came before it."""
        now = self.clients.monitor.now(self.names.endpoint_id, metrics.REQUESTS)
        return now.replace(second=0, microsecond=0) + timedelta(minutes=1)

    def found(self, since: datetime, seconds: int) -> RequestMetrics:
        """What the deployment answered in those seconds."""
        until = since + timedelta(seconds=max(seconds, _MINUTE))
        return self._of(self.deployment, since, until)

    def limit_ms(self, since: datetime) -> float | None:
        """The longest p95 that is taken: by the rehearsal, or where that is longer, by what serves
        in the same time and just before it; None where neither is known."""
        span = timedelta(seconds=self.facts["seconds"])
        beside = self._of(self.facts["beside"], since - span, since + span).p95_ms
        known = [ms for ms in (self.facts["rehearsed_ms"], beside) if ms]
        return self.facts["latency_factor"] * max(known) if known else None

    def failing(self, found: RequestMetrics) -> bool:
        """Whether too many requests have failed."""
        return found.failed * 100 > float(self.facts["error_percent"]) * found.requests

    def check(self, found: RequestMetrics, limit_ms: float | None) -> None:
        """Raise NotHealthy where a limit is passed."""
        if broken := list(self._broken(found, limit_ms)):
            raise NotHealthy(
                f"{self.where}: {'; '.join(broken)}. All in all: {found}. Look at what was asked"
                " meanwhile, and at the container's log; correct the model or its settings and"
                " deploy again. Where a limit is too low, raise error_percent or latency_factor of"
                " [azureml.rollout]"
            )

    def _broken(self, found: RequestMetrics, limit_ms: float | None) -> Iterator[str]:
        if found.requests and self.failing(found):
            share, limit = found.failed / found.requests, self.facts["error_percent"]
            failed = f"{found.failed} of {found.requests} requests failed"
            yield f"{failed} ({share:.1%}; limit {limit:g} %)"
        if limit_ms and found.p95_ms and found.p95_ms > limit_ms:
            yield f"its p95 latency is {found.p95_ms:.4g} ms (limit {limit_ms:.4g} ms)"

    def _of(self, deployment: str, since: datetime, until: datetime) -> RequestMetrics:
        asked = (self.clients.monitor, self.names, deployment)
        return metrics.of_deployment(*asked, (since, until))

"""How people watch an endpoint and get at it: its containers' logs, its page, its keys."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any, TypeVar

from onnxferry.infra.access_keys import Access
from onnxferry.infra.azureml import console, keys, metrics
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.smoke import CONTAINERS
from onnxferry.infra.azureml.state import Clients, CurrentState, read_state
from onnxferry.infra.errors import NotFound
from onnxferry.infra.log_feeds import Continued, Feed, LogPlace
from onnxferry.infra.plan import Plan
from onnxferry.infra.request_metrics import LAST_HOUR, RequestMetrics, known
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

ALL = "all"
_FOLLOWED = 1000  # lines that are compared with those before
_NO_TIMES = "--since: AzureML keeps no times of what containers print; --lines N"

W = TypeVar("W", bound="Watching")


class Watching:
    """Of one endpoint; `log_place` is whose logs are asked for."""

    clients: Clients
    names: Names
    log_place: LogPlace

    def at(self: W, place: LogPlace) -> W:
        """See HasLogPlaces."""
        if place.container not in ("", ALL, *CONTAINERS):
            known = ", ".join((*CONTAINERS, ALL))
            raise UsageError(f"--container {place.container}: AzureML has {known}")
        changed: Any = replace(self, log_place=place)  # type: ignore[type-var]
        return changed  # type: ignore[no-any-return]

    def logs(self, lines: int) -> str:
        """See OnlineEndpoint."""
        return "\n".join(self._printed(self._deployment(), lines))

    def log_feed(self, lines: int, since: datetime | None) -> Feed:
        """See HasLogFeed. Raises UsageError for `since`: what containers print has no times."""
        if since:
            raise UsageError(_NO_TIMES)
        deployment, most = self._deployment(), max(lines, _FOLLOWED)
        tails = (partial(self._lines, deployment, name, most) for name in self._containers)
        feeds = [Continued(tail, lines) for tail in tails]
        return lambda: [line for feed in feeds for line in feed()]

    def last_hour(self) -> Mapping[str, Any]:
        """See HasMetrics: of the endpoint, and of each deployment where several get requests."""
        state = self._read()
        asked = {**state.traffic, **state.mirrored}
        return known(lambda: dict(self._counted(tuple(asked)))) if asked else {}

    def console_url(self) -> str:
        """See HasConsole."""
        return self._page(batch=False)

    def batch_url(self) -> str:
        """See HasBatchPage."""
        return self._page(batch=True)

    def _page(self, *, batch: bool) -> str:
        names, where = self.names, self.clients.session.where
        name = names.batch if batch else names.endpoint
        return console.endpoint_page(where, names.workspace_id, name, batch=batch)

    def access(self) -> Access:
        """See HasKeys."""
        return keys.access(self.clients, self.names)

    def plan_rotate(self, kind: str) -> Plan:
        """See HasKeys."""
        state = self._read()
        steps = keys.rotate(state, self.access(), kind)
        return Plan("azureml", "re-key", self.names.endpoint, steps, keys.summary(state, kind))

    def _counted(self, deployments: Sequence[str]) -> Iterator[tuple[str, RequestMetrics]]:
        monitor, names = self.clients.monitor, self.names
        now = monitor.now(names.endpoint_id, metrics.REQUESTS)
        span = (now - timedelta(hours=1), now)
        yield LAST_HOUR, metrics.of_endpoint(monitor, names, span)
        for name in deployments if len(deployments) > 1 else ():
            yield f"{LAST_HOUR}, {name}", metrics.of_deployment(monitor, names, name, span)

    @property
    def _containers(self) -> tuple[str, ...]:
        """Those whose logs are asked for, the one that starts first before the other."""
        asked = self.log_place.container or CONTAINERS[0]
        return tuple(reversed(CONTAINERS)) if asked == ALL else (asked,)

    def _printed(self, deployment: str, lines: int) -> Iterator[str]:
        for name in self._containers:
            yield from self._lines(deployment, name, lines)

    def _lines(self, deployment: str, container: str, lines: int) -> list[str]:
        """Of several containers, each line with its own name before it."""
        before = f"[{container}] " if len(self._containers) > 1 else ""
        text = self.clients.endpoints.logs(self.names.endpoint, deployment, lines, container)
        return [f"{before}{line}" for line in text.splitlines()]

    def _deployment(self) -> str:
        """The one that is asked for, else the one that takes traffic. Raises NotFound."""
        state, asked = self._read(), self.log_place.deployment
        there = {one.name: one.state for one in state.deployments}
        if asked in there or (not asked and state.serving):
            return asked or state.serving
        said = f"it has no deployment {asked}" if asked else "no deployment takes traffic"
        if not there:
            raise NotFound(
                f"{self.names.where}: {said}, so there are no logs; see {program('status')}"
            )
        has = ", ".join(f"{name} ({shown})" for name, shown in there.items())
        advice = f"it has {has}; {program('logs')} --deployment NAME shows the log of one"
        raise NotFound(f"{self.names.where}: {said}; {advice}")

    def _read(self, *, scaling: bool = False) -> CurrentState:
        return read_state(self.clients, self.names, scaling=scaling)

"""A registered model and the endpoint that serves it, as one: one plan, one lease, one way back.

The alias `champion` moves when the endpoint has, and before the endpoint is asked for the last
time: where that fails, or the alias does not move, both are put back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from onnxferry.infra.cloud import (
    Bundle,
    EndpointStatus,
    HasConsole,
    HasLogFeed,
    HasMetrics,
    Listed,
    OnlineEndpoint,
)
from onnxferry.infra.errors import Refused
from onnxferry.infra.lease import LeaseStore
from onnxferry.infra.log_feeds import Feed
from onnxferry.infra.mlflow.cloud import MlflowCloud
from onnxferry.infra.plan import Plan, Step, Summary
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.console import Progress
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

Steps = tuple[Step, ...]


@dataclass(frozen=True)
class ServedRegistry:
    """See infra.cloud.OnlineEndpoint. `platform` is where the endpoint is; the endpoint's
    operations have that before their names."""

    registry: MlflowCloud
    endpoint: OnlineEndpoint
    platform: str

    def sign_in(self) -> None:
        """See Cloud."""
        self.registry.sign_in()
        self.endpoint.sign_in()

    def plan_deploy(self, bundle: Bundle) -> Plan:
        """See OnlineEndpoint."""
        registry, endpoint = self.registry.plan_deploy(bundle), self._endpoints(bundle)
        made = registry.foundation, endpoint.foundation
        first = (*registry.steps[: made[0]], *endpoint.steps[: made[1]])
        rest = joined(registry.steps[made[0] :], endpoint.steps[made[1] :])
        summary = _summary(registry.summary, endpoint.summary)
        return replace(registry, steps=(*first, *rest), summary=summary, foundation=sum(made))

    def plan_rollback(self) -> Plan:
        """See OnlineEndpoint. Goes on with a roll-back that was cut off between the two. Raises
        Refused where they would go back to different versions."""
        endpoint = self._named(self.endpoint.plan_rollback())
        to, now = endpoint.summary.version, self.registry.status()
        if now.version == to:
            return replace(endpoint, target="mlflow")
        registry = self.registry.plan_rollback()
        back = registry.summary.version
        if back == to:
            summary = _summary(registry.summary, endpoint.summary)
            return replace(registry, steps=joined(registry.steps, endpoint.steps), summary=summary)
        if self.endpoint.status().version == back:
            return registry
        raise Refused(
            f"{now.name}: the registry's version before is {back or 'none'}, and the endpoint's"
            f" {to}. Deploy the model directory of the one that shall serve; {program('status')}"
            " shows both"
        )

    def plan_delete(self) -> Plan:
        """See OnlineEndpoint."""
        return _before(self.registry.plan_delete(), self._named(self.endpoint.plan_delete()))

    def plan_delete_unproved(self) -> Plan:
        """See OnlineEndpoint."""
        endpoint = self._named(self.endpoint.plan_delete_unproved())
        return _before(self.registry.plan_delete_unproved(), endpoint)

    @property
    def operations(self) -> Collection[str]:
        """See Cloud."""
        own = {f"{self.platform}.{name}" for name in self.endpoint.operations}
        return {*self.registry.operations, *own}

    def execute(self, step: Step, progress: Progress) -> None:
        """See Cloud."""
        platform, _, operation = step.operation.rpartition(".")
        if platform:
            self.endpoint.execute(replace(step, operation=operation), progress)
        else:
            self.registry.execute(step, progress)

    def lease_store(self) -> LeaseStore:
        """See Cloud: the endpoint's, which one registry may not be alone to change."""
        return self.endpoint.lease_store()

    def listed(self) -> Sequence[Listed]:
        """See Cloud."""
        return [*self.registry.listed(), *self.endpoint.listed()]

    def invoke(self, request: Request, timeout: float) -> Reply:
        """See OnlineEndpoint."""
        return self.endpoint.invoke(request, timeout)

    def status(self) -> EndpointStatus:
        """See OnlineEndpoint: the endpoint's, and beside it the registry's."""
        found, registry = self.endpoint.status(), self.registry.status()
        half_made = found.state == "absent" and registry.state != "absent"
        details = {**found.details, "platform": self.platform, **registry.details}
        if registry.version != found.version:
            details["version of champion"] = registry.version
        return replace(
            found,
            target=registry.target,
            state="half-made" if half_made else found.state,
            resources=(*found.resources, *registry.resources),
            details=details,
        )

    def logs(self, lines: int) -> str:
        """See OnlineEndpoint."""
        return self.endpoint.logs(lines)

    def log_feed(self, lines: int, since: datetime | None) -> Feed:
        """See HasLogFeed. Raises UsageError where the platform has none."""
        if isinstance(self.endpoint, HasLogFeed):
            return self.endpoint.log_feed(lines, since)
        raise UsageError(f"{self.platform} has no log that can be followed")

    def last_hour(self) -> Mapping[str, Any]:
        """See HasMetrics."""
        return self.endpoint.last_hour() if isinstance(self.endpoint, HasMetrics) else {}

    def console_url(self) -> str:
        """See HasConsole: the endpoint's page. Raises UsageError where there is none."""
        if isinstance(self.endpoint, HasConsole):
            return self.endpoint.console_url()
        raise UsageError(f"{self.platform} has no console page that is known here")

    def _endpoints(self, bundle: Bundle) -> Plan:
        return self._named(self.endpoint.plan_deploy(bundle))

    def _named(self, plan: Plan) -> Plan:
        return replace(plan, steps=tuple(map(self._step, plan.steps)))

    def _step(self, step: Step) -> Step:
        operation = step.operation and f"{self.platform}.{step.operation}"
        restore, removal = (one and self._step(one) for one in (step.restore, step.removal))
        return replace(step, operation=operation, restore=restore, removal=removal)


def joined(registry: Steps, endpoint: Steps) -> Steps:
    """The endpoint's steps after the registry's golden requests. Where the alias moves, it does so
    just before the endpoint's last proof."""
    last = max((i for i, step in enumerate(endpoint) if step.proves), default=len(endpoint))
    asked = max((i for i, step in enumerate(registry) if step.operation == "smoke"), default=-1)
    before, after = registry[: asked + 1], registry[asked + 1 :]
    moves = after[:1] if after and after[0].operation == "promote" else ()
    return (*before, *endpoint[:last], *moves, *endpoint[last:], *after[len(moves) :])


def _before(registry: Plan, endpoint: Plan) -> Plan:
    """The endpoint's deletion ends with the lease on both."""
    summary = _summary(registry.summary, endpoint.summary)
    return replace(registry, steps=(*registry.steps, *endpoint.steps), summary=summary)


def _summary(registry: Summary, endpoint: Summary) -> Summary:
    """What serves, and on what, is the endpoint's."""
    both = [one.minutes for one in (registry, endpoint) if one.minutes]
    minutes = (sum(one[0] for one in both), sum(one[1] for one in both)) if both else None
    place = "; ".join(filter(None, (registry.place, endpoint.place)))
    notes = (*registry.notes, *endpoint.notes)
    return replace(endpoint, place=place, minutes=minutes, notes=notes)

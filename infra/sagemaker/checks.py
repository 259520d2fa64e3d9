"""What is asked beside the endpoint itself before a plan is shown: who else uses what is to be
deleted, whether the quota suffices, and whether the endpoint is autoscaled."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from typing import TypeVar

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotAllowed, Refused
from onnxferry.infra.plan import Plan
from onnxferry.infra.sagemaker import quota, references, rollout, state
from onnxferry.infra.sagemaker.failures import refused_scaling
from onnxferry.infra.sagemaker.fleet import Variant
from onnxferry.infra.sagemaker.state import CurrentState

T = TypeVar("T")


@dataclass(frozen=True)
class Checks:
    """Of a plan for what is `there`. Where a permission is missing, `notes` say so."""

    clients: AwsClients
    there: CurrentState
    notes: list[str] = field(default_factory=list)

    def users(self, configs: Collection[str], models: Collection[str]) -> dict[str, str]:
        """What uses any of `configs` and `models`, this endpoint and its candidate aside."""
        but = (self.there.names.endpoint, self.there.names.candidate)
        return references.users(self.clients, configs, models, but)

    def used(self, configs: Collection[str], models: Collection[str]) -> Collection[str]:
        """Those of both that are in use; all of them where that may not be asked."""
        found = self._allowed(lambda: self.users(configs, models), "what is not needed stays")
        return {*configs, *models} if found is None else found

    def checked(self, plan: Plan, wanted: Variant) -> Plan:
        """`plan`, which brings up the production variant `wanted`, with what the quota lacks.
        Raises Refused where SageMaker would refuse it later."""
        fleets = rollout.peak(self.there, wanted, plan.steps)
        if not fleets:
            return self._noted(plan, "")
        self._refuse_scaled(wanted)
        names = self.there.names
        ask = lambda: quota.shortage(self.clients, names, fleets)  # noqa: E731
        return self._noted(plan, self._allowed(ask, "the quota was not checked") or "")

    def _refuse_scaled(self, wanted: Variant) -> None:
        serving, name = self.there.variant, self.there.names.endpoint
        if serving is None or serving["InstanceType"] == wanted["InstanceType"]:
            return
        ask = lambda: state.is_scaled(self.clients, name, serving)  # noqa: E731
        if self._allowed(ask, "whether the endpoint is autoscaled was not asked"):
            raise Refused(f"AWS {self.clients.region}, {refused_scaling(name)}")

    def _noted(self, plan: Plan, shortage: str) -> Plan:
        notes = (*plan.summary.notes, *self.notes)
        return replace(plan, summary=replace(plan.summary, shortage=shortage, notes=notes))

    def _allowed(self, ask: Callable[[], T], without: str) -> T | None:
        """What `ask` gives; None, and a note, where a permission is missing."""
        try:
            return ask()
        except NotAllowed as e:
            said = str(e).partition("the permission ")[2].partition(" ")[0]
            self.notes.append(f"{without[0].upper()}{without[1:]}: {said} is missing.")
            return None

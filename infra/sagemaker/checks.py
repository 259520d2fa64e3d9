"""What is asked beside the endpoint itself before a plan is shown: who else uses what is to be
deleted, and whether the quota suffices."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.plan import Plan
from onnxferry.infra.sagemaker import quota, references, rollout
from onnxferry.infra.sagemaker.alarms import Watched
from onnxferry.infra.sagemaker.fleet import Fleets, Variant
from onnxferry.infra.sagemaker.guardrails import GuardrailChecks
from onnxferry.infra.sagemaker.state import CurrentState


@dataclass(frozen=True)
class Checks:
    """Of a plan for what is `there`. Where a permission is missing, the clients' notes say so."""

    clients: AwsClients
    there: CurrentState

    def users(
        self, configs: Collection[str], models: Collection[str], jobs: Iterable[str] = ()
    ) -> dict[str, str]:
        """What uses any of `configs` and `models`, but for this endpoint, its candidate, `jobs`."""
        but = (self.there.names.endpoint, self.there.names.candidate, *jobs)
        return references.users(self.clients, configs, models, but)

    def used(self, configs: Collection[str], models: Collection[str]) -> Collection[str]:
        """Those of both that are in use; all of them where that may not be asked."""
        without = "older versions are kept: what uses them is not known"
        found = self.clients.if_allowed(lambda: self.users(configs, models), without)
        return {*configs, *models} if found is None else found

    def checked(self, plan: Plan, wanted: Variant) -> Plan:
        """`plan`, which brings up the production variant `wanted`, with what the quota lacks."""
        fleets = rollout.peak(self.there, wanted, plan.steps)
        if not fleets.parts:
            return plan
        lacking = self._shortage(fleets) or ""
        return replace(plan, summary=replace(plan.summary, shortage=lacking))

    def guarded(self, plan: Plan, wanted: Variant, watched: Watched) -> Plan:
        """`plan` with what its guardrails say. Raises as GuardrailChecks does."""
        new = [variant["VariantName"] for variant in watched.variants]
        count = rollout.fewest_of(self.there, wanted)
        return GuardrailChecks(self.clients, self.there, new, count).checked(plan)

    def _shortage(self, fleets: Fleets) -> str | None:
        names, without = self.there.names, "the quota was not checked"
        return self.clients.if_allowed(lambda: quota.shortage(self.clients, names, fleets), without)

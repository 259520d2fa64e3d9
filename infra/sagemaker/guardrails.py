"""What guards an update, as AWS says deployment guardrails: the way the traffic takes, and the
alarms that take it back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.plan import Plan, Step
from onnxferry.infra.sagemaker import alarms, blue_green
from onnxferry.infra.sagemaker.alarm_operations import in_alarm
from onnxferry.infra.sagemaker.alarms import Watched
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.state import CurrentState
from onnxferry.infra.sagemaker.tagging import changed_alarm_tags
from onnxferry.infra.target_tables.rollout import SageMakerRollout


@dataclass(frozen=True)
class Guardrails:
    """`steps` make the alarms, and `notes` say what they lack; `deployment` is UpdateEndpoint's
    DeploymentConfig."""

    steps: tuple[Step, ...]
    deployment: Mapping[str, Any]
    notes: tuple[str, ...]


UNGUARDED = Guardrails((), blue_green.at_once(), ())  # what serves stays


def guardrails(state: CurrentState, watched: Watched) -> Guardrails:
    """For an update to the configuration that is `watched`."""
    names, rollout = state.names, state.names.settings.rollout
    wanted = alarms.requests(names, watched, state.alarms)
    by_name = {request["AlarmName"]: state.alarms.get(request["AlarmName"]) for request in wanted}
    retagged = (changed_alarm_tags(names, alarm) for alarm in by_name.values() if alarm)
    steps = (*alarms.made(state.alarms, wanted), *(step for each in retagged for step in each))
    named = () if _serverless(watched) else (*by_name, *rollout.other_alarms)
    seconds = names.settings.wait_minutes * 60
    notes = tuple(_notes(names, watched, named)) if any(s.removal for s in steps) else ()
    return Guardrails(steps, blue_green.guarded(rollout, named, seconds), notes)


def _serverless(watched: Watched) -> bool:
    return any("ServerlessConfig" in variant for variant in watched.variants)


def _notes(names: Names, watched: Watched, named: Sequence[str]) -> Iterator[str]:
    rollout = names.settings.rollout
    if _serverless(watched):
        return
    if rollout.alarms and not any("-latency-" in name for name in named):
        yield (
            "No alarm watches the latency: nothing is known of it here. Rehearse the package, and"
            " deploy it from the same folder."
        )
    if named and names.settings.role:
        yield (
            f"The role {names.settings.role} needs cloudwatch:DescribeAlarms for"
            f" {', '.join(named)}: SageMaker looks at them with it."
        )


def update_notes(plan: Plan, rollout: SageMakerRollout) -> Iterator[str]:
    """How the update in `plan` goes on; nothing where there is none."""
    for deployment in _deployments(plan):
        named = blue_green.watched(deployment)
        last = blue_green.last_wait(rollout, bool(named))
        how = f"The update: {blue_green.step_text(rollout)}"
        watching = _watching(len(named))
        yield f"{how}; {watching}; the old instances stay {last} s longer."
        if named and 0 < max(last, rollout.step_seconds) < alarms.FIRES_SECONDS:
            yield f"That is short: an alarm of onnxferry's takes {alarms.FIRES_SECONDS} s to fire."


def _watching(alarms: int) -> str:
    if alarms < 2:
        return "an alarm rolls it back" if alarms else "no alarm watches it"
    return f"{alarms} alarms roll it back"


def _deployments(plan: Plan) -> list[Mapping[str, Any]]:
    """Of the updates in `plan`."""
    updates = (s.parameters["update"] for s in plan.steps if s.operation == "promote")
    return [update["DeploymentConfig"] for update in updates if "DeploymentConfig" in update]


@dataclass(frozen=True)
class GuardrailChecks:
    """Of a plan for what is `there`, after which the production `variants` (names) serve, each on
    `count` instances at least."""

    clients: AwsClients
    there: CurrentState
    variants: Sequence[str]
    count: int

    def checked(self, plan: Plan) -> Plan:
        """`plan`, with notes, and with what stands against it. Raises NotFound where an alarm is
        not there, UsageError where SageMaker would not move the traffic so."""
        rollout = self.there.names.settings.rollout
        without = "whether the alarms are there, and quiet, is not known"
        deployments = _deployments(plan)
        self.clients.if_allowed(lambda: alarms.missing(self.clients, rollout.other_alarms), without)
        if any(s.operation == "promote" for s in plan.steps) and self.there.main:
            blue_green.refuse_too_few(rollout, self.count)
            blue_green.refuse_other_variants(rollout, self.there.variants, self.variants)
        named = [name for deployment in deployments for name in blue_green.watched(deployment)]
        firing = self.clients.if_allowed(lambda: alarms.firing(self.clients, named), without) or ""
        notes = (*plan.summary.notes, *update_notes(plan, rollout))
        blocked = in_alarm(firing) if firing else ""
        return replace(plan, summary=replace(plan.summary, notes=notes, blocked=blocked))

"""Autoscaling in the plans: before an endpoint's instances become others, or go, what is ours is
deregistered, since SageMaker refuses the change, and registered again when the new ones have
answered the golden request. Steps of autoscaling are put into a plan that is made without them.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.infra.rehearsed_capacity import Target
from onnxferry.infra.sagemaker import quota
from onnxferry.infra.sagemaker.fleet import Fleet, added
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.scaling.capacity import target
from onnxferry.infra.sagemaker.scaling.difference import differs, spare
from onnxferry.infra.sagemaker.scaling.refusals import refuse_others, taken
from onnxferry.infra.sagemaker.scaling.requests import (
    INSTANCES,
    Request,
    ScaledVariant,
    dimension_of,
    is_step,
    own_name,
    prefix,
    wanted,
)
from onnxferry.infra.sagemaker.scaling.state import FoundScaling, own_alarm, read, read_if_allowed
from onnxferry.infra.sagemaker.state import CurrentState, described_config
from onnxferry.infra.sagemaker.variants import FIRST
from onnxferry.scripts.package import Package
from onnxferry.system.exits import program

KIND = "autoscaling"
_NOT_KNOWN = (
    "whether others autoscale the endpoint, so that its instance type cannot be changed, is not"
    " known"
)
_OFF = "Nothing is autoscaled while the instances are replaced; their number stays as it is then."
Variants = Sequence[Request]


@dataclass(frozen=True)
class Change:
    """From production variants that serve, `before`, to those that will, `after`; `found` is what
    is registered of them."""

    names: Names
    found: tuple[FoundScaling, ...]
    before: Variants
    after: Variants
    clients: AwsClients

    def kept(self, one: FoundScaling) -> bool:
        """Whether SageMaker changes the endpoint while `one` is registered: its variant stays, on
        the same instances."""
        before, after = (_named(one.settings.variant, side) for side in (self.before, self.after))
        return after is not None and (not before or _hardware(before) == _hardware(after))

    def registered(self, variant: Request) -> float | None:
        """The target that a variant is scaled to now and goes on to be."""
        for one in self.found:
            if one.ours and one.settings.variant == variant["VariantName"] and self.kept(one):
                return one.settings.target
        return None


def change(clients: AwsClients, state: CurrentState, after: Variants) -> Change:
    """The change of the endpoint in `state` to production variants `after`. Raises NotAllowed where
    autoscaling is configured and may not be looked at."""
    names, main = state.names, state.main
    ask = partial(read, clients, names)
    found = ask() if names.settings.scaling else clients.if_allowed(ask, _NOT_KNOWN)
    config = described_config(clients, main.config) if main and found else None
    before = config["ProductionVariants"] if config else ()
    return Change(names, found or (), before, after, clients)


def deployed(plan: Plan, change: Change, package: Package) -> Plan:
    """`plan`, a deployment of `package`, with the autoscaling of deploy.toml. Raises Refused where
    others' autoscaling is in the way, NameTaken where they have registered what we would, and
    UsageError where nothing says what the target is."""
    names = change.names
    variants = change.after if names.settings.scaling else ()
    targets = [target(names.settings, v, package, change.registered(v)) for v in variants]
    new = [wanted(names, v, found.value) for v, found in zip(variants, targets, strict=True)]
    woven = _woven(plan, change, new)
    return _noted(woven, (*map(_note, new, targets), _unreachable(woven, change)))


def rolled_back(plan: Plan, change: Change) -> Plan:
    """`plan`, a roll-back, with what is registered of ours kept, as far as the variants of the
    version before allow it."""
    ours = [one for one in change.found if one.ours]
    fits = [one.settings for one in ours if _fits(one, change.after)]
    lost = [one.settings.variant for one in ours if not _fits(one, change.after)]
    said = f"{', '.join(lost)} is not autoscaled then; {program('deploy')} sets that again."
    return _noted(_woven(plan, change, fits), (said if lost else "",))


def deleted(plan: Plan, clients: AwsClients, names: Names) -> Plan:
    """`plan`, a deletion, with our autoscaling deregistered before the endpoint goes, which takes
    others' along; without an endpoint, what is left of ours."""
    of = (i for i, step in enumerate(plan.steps) if _of_endpoint(step, names))
    goes = [i for i in of if plan.steps[i].action is Action.DELETE]
    if not goes and plan.purpose != "delete":
        return plan
    at = goes[0] if goes else plan.foundation
    there = read_if_allowed(clients, names)
    steps = [_removed(names, one.settings) for one in there if one.ours]
    alarm = clients.if_allowed(partial(own_alarm, clients, names), "its alarm is not looked for")
    if alarm and alarm[1] and not any(step.parameters["alarms"] for step in steps):
        steps.append(_alarm_removed(names))
    theirs = [one.settings.resource for one in there if not one.ours]
    note = f"Others' autoscaling goes with the endpoint: {', '.join(theirs)}."
    placed = (*plan.steps[:at], *steps, *plan.steps[at:])
    return _noted(replace(plan, steps=placed), (note if theirs and goes else "",))


def _woven(plan: Plan, change: Change, new: Sequence[ScaledVariant]) -> Plan:
    """The steps before the first that changes the endpoint, and after the last that concerns it."""
    names = change.names
    changes = [i for i, step in enumerate(plan.steps) if _of_endpoint(step, names)]
    goes = any(plan.steps[i].action is Action.DELETE for i in changes)
    gone = [one for one in change.found if changes and (goes or not change.kept(one))]
    if not goes:
        refuse_others(names, gone)
    again = {one.settings.resource for one in gone if one.ours} & {one.resource for one in new}
    before = [
        _removed(names, one.settings, back=not goes, again=one.settings.resource in again)
        for one in gone
        if one.ours
    ]
    live = {one.settings.resource: one for one in change.found if one not in gone}
    after = list(_after(names, new, live, again if changes else None))
    first, last = (changes[0] if changes else 0), _last(plan, names)
    placed = (*plan.steps[:first], *before, *plan.steps[first:last], *after, *plan.steps[last:])
    return _noted(replace(plan, steps=placed), (_OFF if again else "",))


def _after(
    names: Names,
    new: Iterable[ScaledVariant],
    live: Mapping[str, FoundScaling],
    again: Collection[str] | None,
) -> Iterator[Step]:
    """What is registered, changed, and taken away, with the resources `again` that were
    deregistered before; None where the endpoint is not changed. Else what is as it should be is
    looked at again: AWS deregisters an endpoint that had to be made anew."""
    for one in new:
        there = live.get(one.resource)
        if there is None:
            made = _put(Action.UPDATE if one.resource in (again or ()) else Action.CREATE, one)
            yield replace(made, removal=_removed(names, one), proves=True)
        elif not there.ours:
            raise NameTaken(taken(names, there))
        elif differs(there.settings, one):
            yield _put(Action.UPDATE, one, there.settings)
        elif again is not None:
            yield _put(Action.CHECK, one, operation="keep_scaling")
        else:
            yield Step(Action.REUSE, KIND, one.resource)
    kept = {one.resource for one in new}
    spare = [one for one in live.values() if one.ours and one.settings.resource not in kept]
    refuse_others(names, spare, foreign=False)
    yield from (_removed(names, one.settings) for one in spare)


def _unreachable(plan: Plan, change: Change) -> str:
    """What is said where the quota has not the most instances that are asked for now."""
    scaling, changes = change.names.settings.scaling, plan.changes
    if scaling is None or not any(step.operation == "put_scaling" for step in changes):
        return ""
    on_instances = (v["InstanceType"] for v in change.after if "InstanceType" in v)
    fleets = added(Fleet(kind, scaling.max) for kind in on_instances)
    ask = partial(quota.shortage, change.clients, change.names, fleets)
    lacking = change.clients.if_allowed(ask, "whether the quota has scaling.max is not known")
    return f"Autoscaling cannot reach its most instances: {lacking}." if lacking else ""


def _put(
    action: Action, one: ScaledVariant, found: ScaledVariant | None = None, operation: str = ""
) -> Step:
    """`gone` are names of policies and actions of ours that are there and not wanted."""
    what = {**asdict(one), "gone": spare(found or one, one)}
    return Step(action, KIND, one.resource, operation or "put_scaling", what)


def _removed(names: Names, one: ScaledVariant, *, back: bool = False, again: bool = False) -> Step:
    """Deregister a variant, until it is registered `again`; put `back` as it was where what follows
    fails."""
    alarms = [own_name(names, "backlog")] if any(map(is_step, one.policies)) else []
    request = {"resource": one.resource, "dimension": one.dimension, "alarms": alarms}
    action = Action.UPDATE if again else Action.DELETE
    step = Step(action, KIND, one.resource, "remove_scaling", request)
    return replace(step, restore=_put(Action.UPDATE, one)) if back else step


def _alarm_removed(names: Names) -> Step:
    """Delete an alarm whose scalable target is gone."""
    name = own_name(names, "backlog")
    step = _removed(names, ScaledVariant(prefix(names.endpoint) + FIRST, INSTANCES, 0, 0))
    return replace(step, parameters={**step.parameters, "alarms": [name]})


def _of_endpoint(step: Step, names: Names) -> bool:
    """Whether a step makes, changes or deletes the endpoint itself."""
    changing = (Action.CREATE, Action.UPDATE, Action.DELETE)
    return (step.resource, step.name) == ("endpoint", names.endpoint) and step.action in changing


def _last(plan: Plan, names: Names) -> int:
    """The place after the endpoint's last step and its golden request."""
    kinds = ("endpoint", "golden request to endpoint")
    of = (i for i, s in enumerate(plan.steps) if s.name == names.endpoint and s.resource in kinds)
    return max(of, default=len(plan.steps) - 1) + 1


def _note(one: ScaledVariant, found: Target) -> str:
    why = f" ({found.why})" if found.why else ""
    return f"Autoscaling of {one.variant}: {one}{why}."


def _noted(plan: Plan, notes: Iterable[str]) -> Plan:
    kept = (*plan.summary.notes, *filter(None, notes))
    return replace(plan, summary=replace(plan.summary, notes=kept))


def _named(variant: str, variants: Variants) -> Request | None:
    return next((one for one in variants if one["VariantName"] == variant), None)


def _hardware(variant: Request) -> tuple[str, Any]:
    return dimension_of(variant), variant.get("InstanceType")


def _fits(one: FoundScaling, variants: Variants) -> bool:
    there = _named(one.settings.variant, variants)
    return there is not None and dimension_of(there) == one.settings.dimension

"""Mirrored traffic: the version that serves goes on serving, and a new one beside it gets a copy of
a part of the requests, as a shadow. What both answer is captured, and `compare` compares it.

Azure copies to one deployment, which must have no live traffic; what is sent to a deployment by its
name is not copied. The endpoint's tag SHADOW says that deploying did it: a copy that somebody else
has asked for stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from onnxferry.infra.azureml import capture
from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import ROLLING, SHADOW
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.azureml.steps import change_tags, delete_deployment
from onnxferry.infra.clients.azureml_types import ManagedDeployment
from onnxferry.infra.costs import HOURLY
from onnxferry.infra.errors import Refused
from onnxferry.infra.plan import Action, Step
from onnxferry.system.errors import UsageError

ENDED = {ROLLING: "", SHADOW: ""}  # tags of an endpoint whose roll-back is through


def is_wanted(state: CurrentState, desired: DesiredState) -> bool:
    """Whether what is desired comes as a shadow: something else serves that has proved itself.
    Raises UsageError where there would be nothing to compare, and Refused where another deployment
    gets copies."""
    serving = state.ours.get(state.serving)
    if not desired.rollout.mirror or serving is None or desired.deployment in state.traffic:
        return False
    same_size = serving.instance_type == desired.settings["instance_type"]
    if state.version(serving.name) == desired.version and same_size:
        return False
    _refuse_others(state, serving)
    return True


def _refuse_others(state: CurrentState, serving: ManagedDeployment) -> None:
    where = state.names.where
    if others := sorted(set(state.mirrored) - {state.shadow}):
        raise Refused(
            f"{where}: deployment {', '.join(others)} gets a copy of its traffic, which onnxferry"
            " did not ask for, and Azure copies to one deployment alone. Take that copy away, or"
            " deploy with --set rollout.mirror=0"
        )
    if capture.RESPONSE not in serving.collected:
        raise UsageError(
            f"{where}: what serves, {serving.name}, does not capture its answers, so there would be"
            " nothing to compare. Deploy its version again with [azureml.capture] first, or deploy"
            " this one with --set rollout.mirror=0, which puts it live; the next one can be its"
            " shadow"
        )


def mirrored(state: CurrentState, desired: DesiredState) -> list[Step]:
    """The steps that give the candidate, which has proved itself, a copy of the traffic."""
    name, wanted = desired.deployment, {desired.deployment: desired.rollout.mirror}
    if state.mirrored == wanted and state.shadow == name and ROLLING not in state.tags:
        return []
    step = _copy(state, wanted, {SHADOW: name, ROLLING: ""})
    return [replace(step, restore=_as_before(state, name))]


def cleared(state: CurrentState) -> list[Step]:
    """The step that ends the copying to a shadow, if there is one."""
    return [_copy(state, {}, {SHADOW: ""})] if state.shadow else []


def taken_away(state: CurrentState) -> tuple[Step, ...]:
    """The steps of a roll-back that goes to what serves already, without its shadow. They are
    marked as any roll-back is, so that one that was cut off does not go further back."""
    first = _copy(state, {}, {ROLLING: state.serving})
    gone = map(delete_deployment, unproved(state))
    return (first, *gone, change_tags(state, ENDED))


def unproved(state: CurrentState) -> list[str]:
    """A shadow that never served, if there is one."""
    return [state.shadow] if state.shadow not in ("", state.previous) else []


def left(state: CurrentState) -> list[str]:
    """What was a shadow until a roll-back took the copies away, and was cut off."""
    name = state.tags.get(SHADOW, "")
    return [name] if name in state.unproved else []


def released(state: CurrentState, name: str) -> list[Step]:
    """The step that lets a deployment take live traffic, which one that gets copies may not have;
    they come back where that fails."""
    if name not in state.mirrored:
        return []
    return [replace(_copy(state, {}, {SHADOW: ""}), restore=_as_before(state, name))]


def _as_before(state: CurrentState, name: str) -> Step:
    """What gives `name` the copies that it has now."""
    before = {one: share for one, share in state.mirrored.items() if one == name}
    return _copy(state, before, {SHADOW: name if state.shadow == name else ""})


def _copy(state: CurrentState, mirror: Mapping[str, int], tags: Mapping[str, str]) -> Step:
    facts = {"mirror": dict(mirror), "tags": dict(tags), "seen": dict(state.traffic)}
    what, name = "mirrored traffic of endpoint", state.names.endpoint
    return Step(Action.UPDATE, what, name, "mirror_traffic", facts)


def told(state: CurrentState) -> str:
    """A shadow that is there, in words; "" where there is none."""
    if not (name := state.shadow):
        return ""
    part = f"{state.mirrored[name]} % of the requests"
    return f"{state.version(name)} gets a copy of {part}, on {running(state, name)}"


def running(state: CurrentState, name: str = "") -> str:
    """On what a deployment of ours runs, or the one that serves."""
    found = state.ours[name or state.serving]
    return f"{found.instances} x {found.instance_type}"


def notes(state: CurrentState, desired: DesiredState) -> Iterator[str]:
    """What is said of it in a plan."""
    if desired.rollout.mirror and not state.traffic:
        yield "Nothing serves yet that it could be the shadow of: it takes all requests."
    elif is_wanted(state, desired):
        facts = desired.settings
        runs = f"{facts['instance_count']} x {facts['instance_type']} ({HOURLY})"
        yield (
            f"{desired.version} gets a copy of {desired.rollout.mirror} % of the requests as a"
            f" shadow, on {runs}, and answers nobody."
        )

"""How a candidate takes the traffic over: all at once, or in steps with a look at its errors and
its latency after each.

While it is on its way the endpoint has the tag COMING, so that a run that is cut off is gone on
with, or taken back. Only the first step knows the way back, which is one request from wherever the
traffic is by then.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.azureml import metrics
from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import COMING, DEPLOYED, PREVIOUS, ROLLING, VERSION
from onnxferry.infra.azureml.state import Clients, CurrentState
from onnxferry.infra.azureml.steps import Facts, change_tags, shift_traffic
from onnxferry.infra.errors import NotAllowed, Refused
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.target_tables.rollout import AzureMLRollout
from onnxferry.system.exits import program

LATE_SECONDS = 180  # what happened is in Azure Monitor by then
WATCH, PAUSE = "watch_requests", "pause"  # operations


def refuse_another(state: CurrentState, desired: DesiredState) -> None:
    """Raise Refused where another version is half way."""
    coming = state.coming
    if coming and coming != desired.deployment:
        raise Refused(
            f"{state.names.where}: version {state.version(coming)} is being rolled out, by a run"
            f" that has not ended; it has {state.traffic[coming]} % of the traffic. Deploy that"
            f" version again, which goes on, or take it back with {program('rollback')}; then"
            " deploy this one"
        )


def refuse_unreadable(clients: Clients, state: CurrentState, steps: Iterable[Step]) -> None:
    """Raise NotAllowed where a step watches requests, and who is signed in may not read metrics."""
    if any(step.operation == WATCH for step in steps):
        try:
            clients.monitor.now(state.names.endpoint_id, metrics.REQUESTS)
        except NotAllowed as e:
            raise NotAllowed(
                f"{e}. The checks of a roll-out need the permission Microsoft.Insights/metrics/read"
                " (role Monitoring Reader); without checks: azureml.rollout.checks = false"
            ) from e


def taking_over(state: CurrentState, desired: DesiredState, kept: str) -> list[Step]:
    """The steps that end with the candidate taking all traffic, and the endpoint's tags saying so;
    `kept` is the deployment to go back to."""
    name = desired.deployment
    live = {VERSION: desired.version, DEPLOYED: desired.deployed, PREVIOUS: kept, ROLLING: ""}
    before = state.before or state.serving
    if before in ("", name):  # nothing that has proved itself stands beside it
        return [promote(state, name, {**live, COMING: ""})]
    last = {**live, COMING: ""}
    if is_watched(desired.rollout):
        last |= {PREVIOUS: before, COMING: name}  # until it has been watched
    steps, seen = _resumed(state, desired, before), [dict(state.traffic)]
    for share in _shares(desired.rollout, state.traffic.get(name, 0)):
        tags = last if share == 100 else {COMING: name}
        traffic = {before: 100 - share, name: share} if share < 100 else {name: 100}
        steps += [_shifted(state, traffic, tags, seen[-1]), *_looked(desired, before, share)]
        seen.append(traffic)
    return [replace(steps[0], restore=_back(state, name, before, seen)), *steps[1:]]


def settled(state: CurrentState, kept: str, steps: Iterable[Step]) -> list[Step]:
    """What is left to say when the candidate that `steps` bring has proved itself."""
    shifts = [s.parameters["tags"] for s in steps if s.parameters.get("traffic")]
    said = {**state.tags, **(shifts[-1] if shifts else {})}
    return [change_tags(state, {COMING: "", PREVIOUS: kept})] if said.get(COMING) else []


def promote(state: CurrentState, deployment: str, tags: Facts) -> Step:
    """All traffic to `deployment`; the way back is the traffic of now."""
    wanted, before = {deployment: 100}, {key: state.tags.get(key, "") for key in tags}
    before |= {PREVIOUS: state.previous, ROLLING: ""}
    back = shift_traffic(state, state.traffic, before, wanted)
    step = shift_traffic(state, wanted, tags, state.traffic)
    made: dict[str, Any] = {"restore": back} if state.traffic else {"removal": back}
    return replace(step, **made)


def is_watched(rollout: AzureMLRollout) -> bool:
    """Whether a version is watched once it has all traffic."""
    return rollout.checks and rollout.wait_seconds > 0


def minutes(steps: Iterable[Step]) -> int:
    """How long the steps watch and wait, all in all."""
    late = {WATCH: LATE_SECONDS, PAUSE: 0}
    found = [step for step in steps if step.operation in late]
    return math.ceil(sum(late[s.operation] + int(s.parameters["seconds"]) for s in found) / 60)


def notes(desired: DesiredState, steps: Iterable[Step]) -> Iterator[str]:
    """How the roll-out in `steps` goes on; nothing where there is none."""
    rollout, found = desired.rollout, [s for s in steps if s.operation in (WATCH, PAUSE)]
    if not found:
        return
    shares = [f"{step.parameters['share']} %" for step in found]
    if found[0].operation == PAUSE:
        yield f"It waits {rollout.wait_seconds} s at {', '.join(shares)}; nothing watches it."
        return
    late, each = rollout.wait_seconds + LATE_SECONDS, " each" if len(shares) > 1 else ""
    yield (
        f"The requests that it gets are watched for {rollout.wait_seconds} s at"
        f" {', '.join(shares)} of the traffic, {math.ceil(late / 60)} minutes{each} with the delay"
        f" of Azure Monitor; more than {rollout.error_percent:g} % that fail, or a p95 over"
        f" {rollout.latency_factor:g} times {_measure(desired)}, take the traffic back."
    )


def _measure(desired: DesiredState) -> str:
    serving = "that of the version that serves"
    if desired.rehearsed_ms is None:
        return serving
    return f"the rehearsal's {desired.rehearsed_ms:.4g} ms or {serving}, whichever is longer"


def _shares(rollout: AzureMLRollout, now: int) -> list[int]:
    """The percentages that the candidate gets, one after another, of those above `now`."""
    part = rollout.step_percent
    parts = {"canary": [part], "linear": list(range(part, 100, part))}
    return [share for share in (*parts.get(rollout.traffic, []), 100) if share > now]


def _resumed(state: CurrentState, desired: DesiredState, before: str) -> list[Step]:
    """What goes on where an earlier run has stopped: at the share that it came to, which nobody may
    have watched."""
    if state.coming != desired.deployment:
        return []
    share = state.traffic[desired.deployment]
    there = Step(Action.REUSE, "traffic of endpoint", state.names.endpoint)
    return [there, *_looked(desired, before, share)]


def _shifted(
    state: CurrentState, traffic: Mapping[str, int], tags: Facts, seen: Mapping[str, int]
) -> Step:
    step, share = shift_traffic(state, traffic, tags, seen), [*traffic.values()][-1]
    return step if share == 100 else replace(step, resource=f"{share} % of traffic of endpoint")


def _looked(desired: DesiredState, before: str, share: int) -> list[Step]:
    """The step that watches the candidate at this share, or only waits."""
    rollout, name = desired.rollout, desired.deployment
    facts: Facts = {"share": share, "seconds": rollout.wait_seconds}
    if not rollout.wait_seconds or (share == 100 and not rollout.checks):
        return []
    if not rollout.checks:
        return [Step(Action.CHECK, f"time at {share} % for deployment", name, PAUSE, facts)]
    limits = {"error_percent": rollout.error_percent, "latency_factor": rollout.latency_factor}
    facts = {**facts, **limits, "rehearsed_ms": desired.rehearsed_ms, "beside": before}
    return [Step(Action.CHECK, f"requests at {share} % to deployment", name, WATCH, facts)]


def _back(
    state: CurrentState, deployment: str, before: str, seen: Iterable[Mapping[str, int]]
) -> Step:
    """The traffic of before the roll-out of `deployment`, in one request from any of those that
    were `seen`. Of what served earlier only that deployment may still be there."""
    traffic, found = dict(state.traffic), state.tags
    if state.coming:  # traffic and tags are those of the run that was cut off
        traffic, found = {before: 100}, state.ours[before].tags
    tags = {key: found.get(key, "") for key in (VERSION, DEPLOYED)}
    previous = deployment if state.previous == deployment else ""
    tags |= {PREVIOUS: previous, ROLLING: "", COMING: ""}
    return shift_traffic(state, traffic, tags, *seen)

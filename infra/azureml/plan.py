"""What to change, as data: a snapshot of the workspace and what is wanted become the steps of a
deployment or of a roll-back. Nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import MADE, PREVIOUS, ROLLING, VERSION
from onnxferry.infra.azureml.state import CurrentState
from onnxferry.infra.clients.azureml_facts import Datastore
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.plan import Action, Step, unless


@dataclass(frozen=True)
class Registered:
    """What is there of "model", "code" and "environment", and the datastore for what is not."""

    there: Mapping[str, bool]
    datastore: Datastore


FAILED = frozenset({"Failed", "Canceled"})


def check(live: CurrentState, auth_mode: str | None = None) -> None:
    """Raise Refused where traffic is not ours to move, or where clients would have to sign in in
    another way."""
    strangers = sorted(set(live.traffic) - set(live.ours))
    if strangers:
        share = sum(live.traffic[name] for name in strangers)
        raise Refused(
            f"endpoint {live.names.endpoint} of workspace {live.names.workspace}: deployment"
            f" {', '.join(strangers)} takes {share} % of its traffic, and onnxferry did not make it"
            f" (no tag {MADE}={live.names.endpoint}), so its traffic is not moved. Choose another"
            " endpoint: --name, or name in [model] of deploy.toml; or take that deployment's"
            " traffic away first"
        )
    if live.endpoint and auth_mode and _plain(live.endpoint.auth_mode) != _plain(auth_mode):
        raise Refused(
            f"endpoint {live.names.endpoint} of workspace {live.names.workspace}: its auth_mode is"
            f" {live.endpoint.auth_mode}, and {auth_mode} is asked for, which would lock its"
            " clients out. Set auth_mode in [azureml] of deploy.toml to the endpoint's, or deploy"
            " under another name"
        )


def deploy(live: CurrentState, wanted: DesiredState, registered: Registered) -> tuple[Step, ...]:
    """The steps that end with `wanted` live."""
    name = wanted.deployment
    steps = [
        *_assets(live, wanted, registered),
        *_endpoint(live, wanted),
        *_clear(live, name),
        *_candidate(live, wanted),
    ]
    previous = live.serving if live.serving not in ("", name) else live.previous
    previous = previous if previous != name else ""
    if dict(live.traffic) != {name: 100}:
        steps += [smoke(name), promote(live, name, previous)]
    steps.append(_proof(live, name))
    if dict(live.traffic) == {name: 100} and live.endpoint and ROLLING in live.endpoint.tags:
        steps.append(_rolled(live))
    return (*steps, *_prune(live, name, previous))


def rollback(live: CurrentState) -> tuple[Step, ...]:
    """The steps that move the traffic to the deployment that served before; after a roll-back that
    was cut off once the traffic had moved, those that remain of it."""
    if live.rolling:
        return (_proof(live, live.rolling, _golden(live, live.rolling)), _rolled(live))
    target, now = live.previous, live.serving
    if not target or target == now:
        raise NotFound(
            f"endpoint {live.names.endpoint} of workspace {live.names.workspace}: no previous"
            " version is kept, so there is none to go back to"
        )
    state = live.ours[target].state
    if state in FAILED or state == "Deleting":
        raise NotFound(
            f"deployment {target} of endpoint {live.names.endpoint}: the previous version is"
            f" {state}; deploy it again from its model directory"
        )
    waits = [] if state == "Succeeded" else [_settle("deployment", target, state)]
    golden = _golden(live, target)
    return (
        *waits,
        smoke(target, golden),
        promote(live, target, now, rolling=target),
        _proof(live, target, golden),
        _rolled(live),
    )


def _golden(live: CurrentState, deployment: str) -> dict[str, str]:
    """Whose golden request proves a deployment: that of the version of its model."""
    return {"model": live.ours[deployment].model.rpartition("/")[2]}


def _rolled(live: CurrentState) -> Step:
    """The roll-back is at its end: the next one goes back again."""
    return Step(
        Action.UPDATE, "tags of endpoint", live.names.endpoint, "move", {"tags": {ROLLING: ""}}
    )


def smoke(deployment: str, golden: Mapping[str, str] | None = None) -> Step:
    """Ask one deployment, whatever its traffic; `golden` says whose golden request, unless it is
    the bundle's."""
    facts = {"deployment": deployment, **(golden or {})}
    return Step(Action.CHECK, "golden request to deployment", deployment, "smoke", facts)


def promote(live: CurrentState, deployment: str, previous: str, rolling: str = "") -> Step:
    """All traffic to `deployment`; the way back is the traffic of now."""
    name = live.names.endpoint
    restore = None
    if live.traffic:
        back = {"traffic": dict(live.traffic), "tags": {PREVIOUS: live.previous, ROLLING: ""}}
        restore = Step(Action.UPDATE, "traffic of endpoint", name, "move", back)
    facts = {"traffic": {deployment: 100}, "tags": {PREVIOUS: previous, ROLLING: rolling}}
    return Step(Action.UPDATE, "traffic of endpoint", name, "move", facts, restore)


def _proof(live: CurrentState, deployment: str, golden: Mapping[str, str] | None = None) -> Step:
    facts = {"expected": deployment, **(golden or {})}
    return Step(
        Action.CHECK,
        "golden request to endpoint",
        live.names.endpoint,
        "smoke",
        facts,
        settles=True,
    )


def _assets(live: CurrentState, wanted: DesiredState, registered: Registered) -> list[Step]:
    """Model and code with their files, and the environment. What is registered has its files."""
    tags, store = {**wanted.tags, MADE: live.names.endpoint}, registered.datastore
    folders = {
        "model": live.names.files("model", wanted.model),
        "code": live.names.files("code", wanted.code),
    }
    own: dict[str, dict[str, Any]] = {
        "model": {"path": live.names.path(store.name, folders["model"]), "tags": tags},
        "code": {"uri": f"{store.url}/{store.container}/{folders['code']}"},
        "environment": {"image": wanted.image, "conda": dict(wanted.conda), "tags": tags},
    }
    steps = []
    for kind, version in wanted.versions.items():
        name, there = f"{live.names.endpoint}:{version}", registered.there[kind]
        if kind in folders:
            facts = {"kind": kind, "folder": folders[kind]}
            steps.append(unless(there, f"{kind} files", name, "upload", facts))
        steps.append(
            unless(there, kind, name, f"register_{kind}", {"version": version, **own[kind]})
        )
    return steps


def _endpoint(live: CurrentState, wanted: DesiredState) -> list[Step]:
    name, found = live.names.endpoint, live.endpoint
    facts = {"auth_mode": wanted.auth_mode, "tags": {**wanted.tags, MADE: name}}
    create = Step(Action.CREATE, "endpoint", name, "create_endpoint", facts)
    if found is None:
        return [create]
    if found.state == "Deleting":
        return [_settle("endpoint", name, found.state), create]
    if found.state in FAILED and not live.deployments and live.is_ours(found.tags):
        return [Step(Action.DELETE, "endpoint", name, "delete_endpoint"), create]
    if found.state in FAILED or found.state == "Succeeded":
        return [Step(Action.REUSE, "endpoint", name)]
    return [_settle("endpoint", name, found.state)]


def _clear(live: CurrentState, candidate: str) -> list[Step]:
    """Delete what failed and serves nobody, so that its instances are free for the candidate."""
    keep = {
        candidate,
        live.previous,
        *live.traffic,
        *(live.endpoint.mirror if live.endpoint else ()),
    }
    return [
        _delete(live, d.name, d.state)
        for d in live.ours.values()
        if d.state in FAILED and d.name not in keep
    ]


def _candidate(live: CurrentState, wanted: DesiredState) -> list[Step]:
    name = wanted.deployment
    create = Step(Action.CREATE, "deployment", name, "create_deployment", _facts(live, wanted))
    found = live.ours.get(name)
    if found is None and name in live.others:
        raise Refused(
            f"deployment {name} of endpoint {live.names.endpoint}: its tag {MADE} is gone; delete"
            " it first"
        )
    if found is None:
        return [create]
    if found.state == "Succeeded":
        return [Step(Action.REUSE, "deployment", name)]
    if found.state == "Deleting":
        return [_settle("deployment", name, found.state), create]
    if found.state not in FAILED:
        return [_settle("deployment", name, found.state)]
    if name in live.traffic:
        return [Step(Action.UPDATE, "deployment", name, "create_deployment", _facts(live, wanted))]
    return [_delete(live, name, found.state), create]


def _facts(live: CurrentState, wanted: DesiredState) -> dict[str, Any]:
    ids = {kind: live.names.id(kind, version) for kind, version in wanted.versions.items()}
    tags = {**wanted.tags, MADE: live.names.endpoint, VERSION: wanted.version}
    return {**wanted.settings, **ids, "tags": tags}


def _prune(live: CurrentState, candidate: str, previous: str) -> list[Step]:
    """Delete our deployments that neither serve afterwards nor are the previous one, nor get a copy
    of the traffic."""
    mirrored = live.endpoint.mirror if live.endpoint else ()
    keep = {candidate, previous, *mirrored, *(step.name for step in _clear(live, candidate))}
    return [
        _delete(live, d.name, d.state)
        for d in live.ours.values()
        if d.name not in keep and d.state != "Deleting"
    ]


def _delete(live: CurrentState, name: str, state: str) -> Step:
    return Step(
        Action.DELETE,
        "deployment",
        name,
        "delete_deployment",
        {"endpoint": live.names.endpoint, "state": state},
    )


def _settle(kind: str, name: str, state: str) -> Step:
    return Step(Action.CHECK, kind, name, f"settle_{kind}", {"state": state})


def _plain(auth_mode: str) -> str:
    return auth_mode.lower().replace("_", "")

"""The steps of a deployment and of a roll-back, made of the current and the desired state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.azureml.desired import DesiredState
from onnxferry.infra.azureml.names import MADE, PREVIOUS, ROLLING, VERSION
from onnxferry.infra.azureml.state import CurrentState, Registered
from onnxferry.infra.clients.azureml_endpoints import FAILED
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.plan import Action, Step, unless

Facts = Mapping[str, Any]


def check(state: CurrentState, auth_mode: str | None = None) -> None:
    """Raise Refused where traffic is not ours to move, or `auth_mode` is not the endpoint's."""
    where = state.names.where
    strangers = sorted(set(state.traffic) - set(state.ours))
    if strangers:
        share = sum(state.traffic[name] for name in strangers)
        raise Refused(
            f"{where}: deployment {', '.join(strangers)} takes {share} % of its traffic, and"
            f" onnxferry did not make it (no tag {MADE}). Take its traffic away, or choose another"
            " endpoint: --name, or name in [model] of deploy.toml"
        )
    found = state.endpoint.auth_mode if state.endpoint else ""
    modes = {mode.lower().replace("_", "") for mode in (found, auth_mode) if mode}
    if len(modes) > 1:
        raise Refused(
            f"{where}: its auth_mode is {found}, and {auth_mode} is asked for, which would lock its"
            " clients out. Set that in [azureml] of deploy.toml, or deploy under another name"
        )


def deploy(state: CurrentState, desired: DesiredState, registered: Registered) -> tuple[Step, ...]:
    """The steps that end with `desired` live."""
    name, golden = desired.deployment, {"spec": desired.spec}
    failed = _failed(state, name)
    steps = [*_assets(state, desired, registered), *_endpoint(state, desired)]
    steps += [*map(_delete, failed), *_candidate(state, desired)]
    previous = next((d for d in (state.serving, state.previous) if d not in ("", name)), "")
    serves = dict(state.traffic) == {name: 100}
    if not serves:
        steps += [_smoke(name, golden), _promote(state, name, previous)]
    steps.append(_smoke_endpoint(state, name, golden))
    if serves and ROLLING in state.tags:
        steps.append(change_tags(state, {ROLLING: ""}))
    return (*steps, *_delete_unused(state, {name, previous, *failed}))


def rollback(state: CurrentState) -> tuple[Step, ...]:
    """The steps that move the traffic back, or those that a cut-off roll-back has left. Raises
    NotFound when no deployment served before."""
    target, where = state.rolling or state.previous, state.names.where
    if not target or (target == state.serving and not state.rolling):
        raise NotFound(f"{where}: no previous version is kept")
    golden = {"model": state.ours[target].model.rpartition("/")[2]}  # its spec is kept there
    ends = (_smoke_endpoint(state, target, golden), change_tags(state, {ROLLING: ""}))
    if state.rolling:
        return ends
    found = state.ours[target].state
    if found in FAILED or found == "Deleting":
        said = f"the previous version, {target}, is {found}; deploy its model directory again"
        raise NotFound(f"{where}: {said}")
    waits = [] if found == "Succeeded" else [_wait("deployment", target, found)]
    promote = _promote(state, target, state.serving, rolling=target)
    return (*waits, _smoke(target, golden), promote, *ends)


def change_tags(state: CurrentState, tags: Facts) -> Step:
    """Set tags of the endpoint; an empty one goes."""
    name = state.names.endpoint
    return Step(Action.UPDATE, "tags of endpoint", name, "update_endpoint", {"tags": tags})


def shift_traffic(state: CurrentState, traffic: Mapping[str, int], tags: Facts) -> Step:
    """Give the endpoint this traffic and these tags in one request."""
    name, facts = state.names.endpoint, {"traffic": dict(traffic), "tags": tags}
    return Step(Action.UPDATE, "traffic of endpoint", name, "update_endpoint", facts)


def _promote(state: CurrentState, deployment: str, previous: str, rolling: str = "") -> Step:
    """All traffic to `deployment`; the way back is the traffic of now."""
    back = shift_traffic(state, state.traffic, {PREVIOUS: state.previous, ROLLING: ""})
    step = shift_traffic(state, {deployment: 100}, {PREVIOUS: previous, ROLLING: rolling})
    return replace(step, restore=back if state.traffic else None)


def _smoke(deployment: str, golden: Facts) -> Step:
    """Ask one deployment, whatever its traffic."""
    facts = {"deployment": deployment, **golden}
    return Step(Action.CHECK, "golden request to deployment", deployment, "smoke", facts)


def _smoke_endpoint(state: CurrentState, deployment: str, golden: Facts) -> Step:
    """Ask the endpoint, where `deployment` must answer."""
    name, facts = state.names.endpoint, {"expected": deployment, **golden}
    return Step(Action.CHECK, "golden request to endpoint", name, "smoke", facts, settles=True)


def _assets(state: CurrentState, desired: DesiredState, registered: Registered) -> list[Step]:
    """Model and code with their files, and the environment; what is registered has its files."""
    names, store = state.names, registered.datastore
    tags = {**desired.tags, MADE: names.endpoint}
    folders = {kind: names.files(kind, desired.versions[kind]) for kind in desired.files}
    own: dict[str, dict[str, Any]] = {
        "model": {"path": names.path(store.name, folders["model"]), "tags": tags},
        "code": {"uri": f"{store.url}/{store.container}/{folders['code']}"},
        "environment": {**desired.environment, "tags": tags},
    }
    steps = []
    for kind, version in desired.versions.items():
        name, there = names.asset(version), kind in registered.kinds
        if kind in folders:
            upload = {"folder": folders[kind], **desired.files[kind]}
            steps.append(unless(there, f"{kind} files", name, "upload", upload))
        facts = {"version": version, **own[kind]}
        steps.append(unless(there, kind, name, f"register_{kind}", facts))
    return steps


def _endpoint(state: CurrentState, desired: DesiredState) -> list[Step]:
    name, found = state.names.endpoint, state.endpoint
    facts = {"auth_mode": desired.auth_mode, "tags": {**desired.tags, MADE: name}}
    create = Step(Action.CREATE, "endpoint", name, "create_endpoint", facts)
    failed = [Step(Action.REUSE, "endpoint", name)]
    if found and state.is_ours(found.tags) and not state.deployments:
        failed = [Step(Action.DELETE, "endpoint", name, "delete_endpoint"), create]
    return _made(create, found.state if found else None, failed)


def _made(create: Step, found: str | None, failed: list[Step]) -> list[Step]:
    """What makes a resource whose state is `found`, None where it is not there."""
    wait = _wait(create.resource, create.name, found or "")
    if found in FAILED:
        return failed
    by_state: dict[str | None, list[Step]] = {
        None: [create],
        "Succeeded": [Step(Action.REUSE, create.resource, create.name)],
        "Deleting": [wait, create],
    }
    return by_state.get(found, [wait])


def _failed(state: CurrentState, candidate: str) -> list[str]:
    """The failed deployments without traffic. They go first, to free instances."""
    keep = {candidate, state.previous, *state.traffic, *state.mirrored}
    return [d.name for d in state.ours.values() if d.state in FAILED and d.name not in keep]


def _candidate(state: CurrentState, desired: DesiredState) -> list[Step]:
    name, endpoint = desired.deployment, state.names.endpoint
    if name in state.others:
        said = f"deployment {name} has lost its tag {MADE}; delete it first"
        raise Refused(f"{state.names.where}: {said}")
    tags = {**desired.tags, MADE: endpoint, VERSION: desired.version}
    ids = {kind: state.names.id(kind, version) for kind, version in desired.versions.items()}
    facts = {**desired.settings, **ids, "tags": tags}
    create = Step(Action.CREATE, "deployment", name, "create_deployment", facts)
    failed = [_delete(name), create]
    if name in state.traffic:
        failed = [replace(create, action=Action.UPDATE)]
    found = state.ours.get(name)
    return _made(create, found.state if found else None, failed)


def _delete_unused(state: CurrentState, keep: set[str]) -> list[Step]:
    """Delete our other deployments, unless they get a copy of the traffic."""
    keep = {*keep, *state.mirrored}
    ours = [name for name, d in state.ours.items() if d.state != "Deleting"]
    return [_delete(name) for name in ours if name not in keep]


def _delete(name: str) -> Step:
    return Step(Action.DELETE, "deployment", name, "delete_deployment")


def _wait(kind: str, name: str, found: str) -> Step:
    return Step(Action.CHECK, kind, name, "wait_until_stable", {"state": found})

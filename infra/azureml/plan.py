"""The steps of a deployment and of a roll-back, made of the current and the desired state. Nothing
is read or written here."""

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
    """Raise Refused where traffic is not ours to move, or where clients would have to sign in in
    another way."""
    endpoint = state.names.endpoint
    where = f"endpoint {endpoint} of workspace {state.names.workspace}"
    strangers = sorted(set(state.traffic) - set(state.ours))
    if strangers:
        share = sum(state.traffic[name] for name in strangers)
        raise Refused(
            f"{where}: deployment {', '.join(strangers)} takes {share} % of its traffic, and"
            f" onnxferry did not make it (no tag {MADE}={endpoint}), so its traffic is not moved."
            " Choose another endpoint: --name, or name in [model] of deploy.toml; or take that"
            " deployment's traffic away first"
        )
    found = state.endpoint.auth_mode if state.endpoint else ""
    if found and auth_mode and _letters(found) != _letters(auth_mode):
        raise Refused(
            f"{where}: its auth_mode is {found}, and {auth_mode} is asked for, which would lock its"
            " clients out. Set auth_mode in [azureml] of deploy.toml to the endpoint's, or deploy"
            " under another name"
        )


def deploy(state: CurrentState, desired: DesiredState, registered: Registered) -> tuple[Step, ...]:
    """The steps that end with `desired` live."""
    name, golden = desired.deployment, {"spec": desired.spec}
    failed = _failed(state, name)
    steps = [
        *_assets(state, desired, registered),
        *_endpoint(state, desired),
        *(_delete(deployment) for deployment in failed),
        *_candidate(state, desired),
    ]
    previous = state.serving if state.serving not in ("", name) else state.previous
    previous = previous if previous != name else ""
    serves = dict(state.traffic) == {name: 100}
    if not serves:
        steps += [_smoke(name, golden), _promote(state, name, previous)]
    steps.append(_smoke_endpoint(state, name, golden))
    if serves and state.endpoint and ROLLING in state.endpoint.tags:
        steps.append(_rolled_back(state))
    return (*steps, *_prune(state, {name, previous, *failed}))


def rollback(state: CurrentState) -> tuple[Step, ...]:
    """The steps that move the traffic to the deployment that served before; after a roll-back that
    was cut off once the traffic had moved, those that remain of it. Raises NotFound when there is
    none."""
    if state.rolling:
        golden = _golden(state, state.rolling)
        return (_smoke_endpoint(state, state.rolling, golden), _rolled_back(state))
    target, endpoint = state.previous, state.names.endpoint
    if not target or target == state.serving:
        raise NotFound(
            f"endpoint {endpoint} of workspace {state.names.workspace}: no previous version is"
            " kept, so there is none to go back to"
        )
    found = state.ours[target].state
    if found in FAILED or found == "Deleting":
        raise NotFound(
            f"deployment {target} of endpoint {endpoint}: the previous version is {found}; deploy"
            " it again from its model directory"
        )
    golden = _golden(state, target)
    return (
        *([] if found == "Succeeded" else [_wait("deployment", target, found)]),
        _smoke(target, golden),
        _promote(state, target, state.serving, rolling=target),
        _smoke_endpoint(state, target, golden),
        _rolled_back(state),
    )


def _golden(state: CurrentState, deployment: str) -> Facts:
    """Where the golden request of a deployment is kept: with that version of the model."""
    return {"model": state.ours[deployment].model.rpartition("/")[2]}


def _rolled_back(state: CurrentState) -> Step:
    """The roll-back is at its end: the next one goes back again."""
    return change_tags(state, {ROLLING: ""})


def change_tags(state: CurrentState, tags: Mapping[str, str]) -> Step:
    """Set tags of the endpoint; an empty one goes."""
    name = state.names.endpoint
    return Step(Action.UPDATE, "tags of endpoint", name, "update_endpoint", {"tags": tags})


def shift_traffic(
    state: CurrentState,
    traffic: Mapping[str, int],
    tags: Mapping[str, str],
    restore: Step | None = None,
) -> Step:
    """Give the endpoint this traffic and these tags in one request."""
    name, facts = state.names.endpoint, {"traffic": dict(traffic), "tags": tags}
    return Step(Action.UPDATE, "traffic of endpoint", name, "update_endpoint", facts, restore)


def _promote(state: CurrentState, deployment: str, previous: str, rolling: str = "") -> Step:
    """All traffic to `deployment`; the way back is the traffic of now."""
    back = None
    if state.traffic:
        back = shift_traffic(state, state.traffic, {PREVIOUS: state.previous, ROLLING: ""})
    return shift_traffic(state, {deployment: 100}, {PREVIOUS: previous, ROLLING: rolling}, back)


def _smoke(deployment: str, golden: Facts) -> Step:
    """Ask one deployment, whatever its traffic."""
    facts = {"deployment": deployment, **golden}
    return Step(Action.CHECK, "golden request to deployment", deployment, "smoke", facts)


def _smoke_endpoint(state: CurrentState, deployment: str, golden: Facts) -> Step:
    """Ask the endpoint, where `deployment` must answer."""
    what, name = "golden request to endpoint", state.names.endpoint
    facts = {"expected": deployment, **golden}
    return Step(Action.CHECK, what, name, "smoke", facts, settles=True)


def _assets(state: CurrentState, desired: DesiredState, registered: Registered) -> list[Step]:
    """Model and code with their files, and the environment. What is registered has its files."""
    names, store = state.names, registered.datastore
    tags = {**desired.tags, MADE: names.endpoint}
    folders = {kind: names.files(kind, desired.versions[kind]) for kind in desired.files}
    own: dict[str, dict[str, Any]] = {
        "model": {"path": names.path(store.name, folders["model"]), "tags": tags},
        "code": {"uri": f"{store.url}/{store.container}/{folders['code']}"},
        "environment": {"image": desired.image, "conda": dict(desired.conda), "tags": tags},
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
    """The deployments that failed and serve nobody. They go first, so that their instances are free
    for the candidate."""
    keep = {candidate, state.previous, *state.traffic, *state.mirrored}
    return [d.name for d in state.ours.values() if d.state in FAILED and d.name not in keep]


def _candidate(state: CurrentState, desired: DesiredState) -> list[Step]:
    name, endpoint = desired.deployment, state.names.endpoint
    if name in state.others:
        raise Refused(
            f"deployment {name} of endpoint {endpoint}: its tag {MADE} is gone; delete it first"
        )
    tags = {**desired.tags, MADE: endpoint, VERSION: desired.version}
    ids = {kind: state.names.id(kind, version) for kind, version in desired.versions.items()}
    facts = {**desired.settings, **ids, "tags": tags}
    create = Step(Action.CREATE, "deployment", name, "create_deployment", facts)
    failed = [_delete(name), create]
    if name in state.traffic:
        failed = [replace(create, action=Action.UPDATE)]
    return _made(create, state.ours[name].state if name in state.ours else None, failed)


def _prune(state: CurrentState, keep: set[str]) -> list[Step]:
    """Delete our other deployments, unless they get a copy of the traffic."""
    return [
        _delete(d.name)
        for d in state.ours.values()
        if d.name not in {*keep, *state.mirrored} and d.state != "Deleting"
    ]


def _delete(name: str) -> Step:
    return Step(Action.DELETE, "deployment", name, "delete_deployment")


def _wait(kind: str, name: str, found: str) -> Step:
    return Step(Action.CHECK, kind, name, "wait_until_stable", {"state": found})


def _letters(auth_mode: str) -> str:
    return auth_mode.lower().replace("_", "")

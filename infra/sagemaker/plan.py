"""What to change, as data. A candidate, a second endpoint of the same configuration, must answer
the golden request before the first is pointed to it.

The tag onnxferry:previous lists the configurations that proved themselves, newest first. It is
written last, so that it is true wherever a run is interrupted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Plan, Step, Summary, unless
from onnxferry.infra.sagemaker.desired import DesiredState
from onnxferry.infra.sagemaker.names import HISTORY_TAG, Names, tags
from onnxferry.infra.sagemaker.packages import Packages
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, CurrentState, Endpoint, Prerequisites
from onnxferry.system.exits import program

TARGET = "sagemaker"
_KEPT = 2  # what serves, and what served before
_ACTIONS = {"ready": Action.REUSE, "same": Action.REUSE, "absent": Action.CREATE}

Steps = tuple[Step, ...]


def deploy(state: CurrentState, desired: DesiredState, found: Prerequisites) -> Plan:
    """Steps that end with the bundle of `desired` serving."""
    names, package = state.names, desired.package
    model, config = desired.model["ModelName"], desired.config["EndpointConfigName"]
    serving = _serving(state, config, package.url)
    made = any(s.name == names.candidate and s.action is Action.CREATE for s in serving)
    kind = "endpoint configuration"
    steps = (
        _made(found.bucket, "bucket", names.bucket, "make_bucket", desired.bucket),
        _made(found.package, "package", package.url, "put_package", asdict(package)),
        _role(names, desired, found),
        unless(model in state.models, "model", model, "create_model", desired.model),
        unless(config in state.configs, kind, config, "create_config", desired.config),
        *serving,
        *_delete_candidate(state, made),
        *_delete_unused(state, config, found.packages),
    )
    minutes = (10, 25) if made else (5, 15)
    summary = Summary(names.place, desired.version, state.replaced, desired.instances, minutes)
    return Plan(TARGET, "deploy", names.endpoint, steps, summary)


def to_go_back_to(state: CurrentState) -> str:
    """The configuration that a roll-back goes to. Raises NotFound when none is kept."""
    found = state.unfinished or state.previous
    if not found:
        raise NotFound(
            f"AWS {state.names.region}, endpoint {state.names.endpoint}: there is no previous"
            f" version to go back to; {program('deploy')} puts any version live"
        )
    return found


def rollback(state: CurrentState, url: str, instances: str) -> Plan:
    """Steps that point the endpoint back, to the package at `url` on `instances`. Raises NotFound
    when none is kept. It has proved itself here before, so it needs no candidate."""
    names, config = state.names, to_go_back_to(state)
    back = _moved(state, config, url)
    steps = (*back, *_proved(state, config), *_delete_candidate(state))
    version, minutes = names.version_of(config), (5, 15)
    summary = Summary(names.place, version, state.replaced, instances, minutes)
    return Plan(TARGET, "roll back", names.endpoint, steps, summary)


def _role(names: Names, desired: DesiredState, found: Prerequisites) -> Step:
    if desired.role is None:
        return Step(Action.REUSE, "role", names.role_arn)
    there = "absent" if found.policies is None else "other"
    if desired.role["policy"]["PolicyName"] in (found.policies or ()):
        there = "same"
    return _made(there, "role", names.role, "make_role", desired.role)


def _made(there: str, resource: str, name: str, operation: str, request: Mapping[str, Any]) -> Step:
    action = _ACTIONS.get(there, Action.UPDATE)
    if action is Action.REUSE:
        return Step(action, resource, name)
    return Step(action, resource, name, operation, request)


def _serving(state: CurrentState, config: str, url: str) -> Steps:
    """From whatever the endpoint is to `config` serving, proved."""
    main, names = state.main, state.names
    if main is None or main.state == "Deleting":
        up = (*_stable(main), _created(names, names.endpoint, config), _smoke(names.endpoint, url))
    elif _on_its_way(main, config) or (main.state in BROKEN and not main.history):
        up = _moved(state, config, url)
    else:
        up = (*_stable(main), *_candidate(state, config, url), *_pointed(names, main, config, url))
    return *up, *_proved(state, config)


def _moved(state: CurrentState, config: str, url: str) -> Steps:
    """The endpoint at `config` without a candidate, smoked."""
    main = state.main
    if main is None:
        return ()
    if _on_its_way(main, config):
        return _arriving(state, main, config), _smoke(main.name, url)
    return *_stable(main), *_pointed(state.names, main, config, url)


def _on_its_way(main: Endpoint, config: str) -> bool:
    return main.coming == config and main.state not in {*BROKEN, "UpdateRollbackFailed"}


def _arriving(state: CurrentState, main: Endpoint, config: str) -> Step:
    if main.state == "InService" and main.history[:1] == (config,):
        return Step(Action.REUSE, "endpoint", main.name)
    back = _point(state.names, state.previous) if state.previous else None
    return _awaited(main.name, config, back)


def _awaited(name: str, config: str, restore: Step | None = None) -> Step:
    request = {"EndpointConfigName": config}
    return Step(Action.CHECK, "endpoint", name, "await_endpoint", request, restore)


def _candidate(state: CurrentState, config: str, url: str) -> Steps:
    """A second endpoint with `config`, proved."""
    found, names = state.candidate, state.names
    if found and found.coming == config and found.state in {"Creating", "InService"}:
        return _awaited(names.candidate, config), _smoke(names.candidate, url)
    made = _created(names, names.candidate, config)
    return *_delete_candidate(state), made, _smoke(names.candidate, url)


def _created(names: Names, name: str, config: str, history: tuple[str, ...] = ()) -> Step:
    request = {"EndpointName": name, "EndpointConfigName": config}
    tagged = {**request, "Tags": names.tags(history=history)}
    return Step(Action.CREATE, "endpoint", name, "create_endpoint", tagged)


def _pointed(names: Names, main: Endpoint, config: str, url: str) -> Steps:
    """The endpoint moved to `config` and smoked, else taken back."""
    proof = _smoke(main.name, url)
    if main.state in BROKEN:
        gone = deleted("endpoint", main.name, "delete_endpoint")
        return gone, _created(names, main.name, config, main.history), proof
    return _point(names, config, _point(names, main.config)), proof


def _point(names: Names, config: str, restore: Step | None = None) -> Step:
    """All traffic at once, when the new instances are healthy (SageMaker's blue/green). "create"
    is for an endpoint that an update has broken."""
    traffic = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    policy = {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": 0}
    what = {"EndpointName": names.endpoint, "EndpointConfigName": config}
    parameters = {
        "update": {**what, "DeploymentConfig": {"BlueGreenUpdatePolicy": policy}},
        "create": {**what, "Tags": names.tags()},
    }
    return Step(Action.UPDATE, "endpoint", names.endpoint, "promote", parameters, restore)


def _smoke(name: str, url: str) -> Step:
    kind, request = "golden request to endpoint", {"package": url}
    return Step(Action.CHECK, kind, name, "smoke", request, settles=True)


def _proved(state: CurrentState, config: str) -> Steps:
    """The tag, unless it says so already."""
    main, name = state.main, state.names.endpoint
    before = main.history if main and main.state != "Deleting" else ()
    history = (config, *(c for c in before if c != config))[:_KEPT]
    if history == before:
        return ()
    request = {"Tags": tags({HISTORY_TAG: " ".join(history)})}
    return (Step(Action.UPDATE, "history of endpoint", name, "record_history", request),)


def _stable(found: Endpoint | None) -> Steps:
    if found is None or found.state not in BUSY:
        return ()
    request = {"state": found.state}
    return (Step(Action.CHECK, "endpoint", found.name, "wait_until_stable", request),)


def _delete_candidate(state: CurrentState, made: bool = False) -> Steps:
    if not (state.candidate or made):
        return ()
    return (deleted("endpoint", state.names.candidate, "delete_endpoint"),)


def _delete_unused(state: CurrentState, config: str, packages: Packages) -> Iterator[Step]:
    """Delete what is neither to serve nor the version before it."""
    names, history = state.names, state.main.history if state.main else ()
    kept = {config, *[c for c in history if c != config][: _KEPT - 1]}
    versions = {names.version_of(c) for c in kept}
    models = (m for m in state.models if names.version_of(m) not in versions)
    yield from deleted_hosting((c for c in state.configs if c not in kept), models)
    yield from deleted_packages(packages, versions)


def deleted_hosting(configs: Iterable[str], models: Iterable[str]) -> Iterator[Step]:
    """A step for each endpoint configuration, then for each model."""
    for name in configs:
        yield deleted("endpoint configuration", name, "delete_config", EndpointConfigName=name)
    for name in models:
        yield deleted("model", name, "delete_model", ModelName=name)


def deleted_packages(found: Packages, kept: Collection[str] = ()) -> Iterator[Step]:
    """A step for each version that is not in `kept`."""
    for package in found.found:
        if package.version not in kept:
            name = f"s3://{found.bucket}/{found.folder}{package.version}"
            what = {"bucket": found.bucket, **asdict(package)}
            yield deleted("package", name, "delete_package", **what)


def deleted(resource: str, name: str, operation: str, /, **parameters: Any) -> Step:
    """A step that deletes."""
    return Step(Action.DELETE, resource, name, operation, parameters)

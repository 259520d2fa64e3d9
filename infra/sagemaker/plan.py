"""What to change, as data. An endpoint is updated behind a candidate: a second endpoint of the same
configuration must answer the golden request before the first is pointed to it.

The endpoint's tag onnxferry:previous lists the configurations that proved themselves there, newest
first. It is written when a version has proved itself, so that an interruption anywhere leaves a tag
that is true. Nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Plan, Step, Summary, unless
from onnxferry.infra.sagemaker.desired import DesiredState
from onnxferry.infra.sagemaker.names import HISTORY_TAG, Names
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, CurrentState, Endpoint, Prerequisites
from onnxferry.infra.sagemaker.storage import Packages
from onnxferry.system.exits import program

TARGET = "sagemaker"
KEPT = 2  # what serves, and what served before

Steps = tuple[Step, ...]


def deploy(state: CurrentState, desired: DesiredState, found: Prerequisites) -> Plan:
    """Steps that end with the bundle of `desired` serving."""
    names, config = state.names, desired.config_name
    serving = _serving(state, config, desired.package.url)
    made = any(s.name == names.candidate and s.action is Action.CREATE for s in serving)
    model, kind = str(desired.model["ModelName"]), "endpoint configuration"
    steps = (
        _bucket(names, desired, found),
        _package(desired, found),
        _role(names, desired, found),
        unless(model in state.models, "model", model, "create_model", desired.model),
        unless(config in state.configs, kind, config, "create_config", desired.config),
        *serving,
        *(_candidate_gone(names) if state.candidate or made else ()),
        *_pruned(state, config, found.packages),
    )
    minutes = (10, 25) if made else (5, 15)
    summary = Summary(names.place, desired.version, state.replaced, desired.instances, minutes)
    return Plan(TARGET, "deploy", names.endpoint, steps, summary)


def to_go_back_to(state: CurrentState) -> str:
    """The configuration that a roll-back goes to. Raises NotFound when none is kept."""
    found = state.unfinished or state.previous
    if state.main is None or not found:
        raise NotFound(
            f"AWS {state.names.region}, endpoint {state.names.endpoint}: there is no previous"
            f" version to go back to; {program('status')} shows what is there, {program('deploy')}"
            " puts any version live"
        )
    return found


def rollback(state: CurrentState, url: str, instances: str) -> Plan:
    """Steps that point the endpoint back, to the configuration whose package is at `url`, and
    that runs on `instances`.

    It has proved itself here before, so it is not built up a second time: SageMaker checks the new
    instances' health before it moves traffic, and the golden request decides after. Raises NotFound
    when none is kept.
    """
    config = to_go_back_to(state)
    steps = (
        *_moved(state, config, url),
        *_proved(state, config),
        *(_candidate_gone(state.names) if state.candidate else ()),
    )
    version = state.names.version_of(config)
    summary = Summary(state.names.place, version, state.replaced, instances, (5, 15))
    return Plan(TARGET, "roll back", state.names.endpoint, steps, summary)


def _bucket(names: Names, desired: DesiredState, found: Prerequisites) -> Step:
    there = {"ready": Action.REUSE, "absent": Action.CREATE}.get(found.bucket, Action.UPDATE)
    return _made(there, "bucket", names.bucket, "make_bucket", desired.bucket)


def _package(desired: DesiredState, found: Prerequisites) -> Step:
    there = {"same": Action.REUSE, "absent": Action.CREATE}.get(found.package, Action.UPDATE)
    return _made(there, "package", desired.package.url, "put_package", asdict(desired.package))


def _role(names: Names, desired: DesiredState, found: Prerequisites) -> Step:
    if desired.role is None:
        return Step(Action.REUSE, "role", names.role_arn)
    has_policy = desired.role["policy"]["PolicyName"] in (found.policies or ())
    changed = Action.CREATE if found.policies is None else Action.UPDATE
    there = Action.REUSE if has_policy else changed
    return _made(there, "role", names.role, "make_role", desired.role)


def _made(
    action: Action, resource: str, name: str, operation: str, parameters: Mapping[str, Any]
) -> Step:
    if action is Action.REUSE:
        return Step(action, resource, name)
    return Step(action, resource, name, operation, parameters)


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
    """It serves already, or an interrupted run has begun to make it serve."""
    if main.state == "InService" and main.history[:1] == (config,):
        return Step(Action.REUSE, "endpoint", main.name)
    back = _point(state.names, state.previous) if state.previous else None
    return _awaited(main.name, config, back)


def _awaited(name: str, config: str, restore: Step | None = None) -> Step:
    parameters = {"EndpointConfigName": config}
    return Step(Action.CHECK, "endpoint", name, "await_endpoint", parameters, restore)


def _candidate(state: CurrentState, config: str, url: str) -> Steps:
    """A second endpoint with `config`, proved."""
    found, names = state.candidate, state.names
    if found and found.coming == config and found.state in {"Creating", "InService"}:
        return _awaited(names.candidate, config), _smoke(names.candidate, url)
    gone = _candidate_gone(names) if found else ()
    return *gone, _created(names, names.candidate, config), _smoke(names.candidate, url)


def _created(names: Names, name: str, config: str, history: tuple[str, ...] = ()) -> Step:
    tags = names.tags(history=history)
    request = {"EndpointName": name, "EndpointConfigName": config, "Tags": tags}
    return Step(Action.CREATE, "endpoint", name, "create_endpoint", request)


def _pointed(names: Names, main: Endpoint, config: str, url: str) -> Steps:
    """The endpoint moved to `config` and smoked; what served before comes back when that fails."""
    if main.state in BROKEN:
        gone = Step(Action.DELETE, "endpoint", main.name, "delete_endpoint")
        return gone, _created(names, main.name, config, main.history), _smoke(main.name, url)
    return _point(names, config, _point(names, main.config)), _smoke(main.name, url)


def _point(names: Names, config: str, restore: Step | None = None) -> Step:
    """All traffic at once, after the new instances are healthy: SageMaker's own blue/green.
    "create" is for an endpoint that an update has broken."""
    traffic = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    policy = {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": 0}
    what = {"EndpointName": names.endpoint, "EndpointConfigName": config}
    parameters = {
        "update": {**what, "DeploymentConfig": {"BlueGreenUpdatePolicy": policy}},
        "create": {**what, "Tags": names.tags()},
    }
    return Step(Action.UPDATE, "endpoint", names.endpoint, "promote", parameters, restore)


def _smoke(name: str, url: str) -> Step:
    return Step(
        Action.CHECK, "golden request to endpoint", name, "smoke", {"package": url}, settles=True
    )


def _proved(state: CurrentState, config: str) -> Steps:
    """The tag that says what has proved itself; no step when it says so already."""
    main = state.main
    before = main.history if main and main.state != "Deleting" else ()
    history = (config, *(c for c in before if c != config))[:KEPT]
    if history == before:
        return ()
    tag = {"Tags": [{"Key": HISTORY_TAG, "Value": " ".join(history)}]}
    name = state.names.endpoint
    return (Step(Action.UPDATE, "history of endpoint", name, "record_history", tag),)


def _stable(found: Endpoint | None) -> Steps:
    if found is None or found.state not in BUSY:
        return ()
    parameters = {"state": found.state}
    return (Step(Action.CHECK, "endpoint", found.name, "wait_until_stable", parameters),)


def _candidate_gone(names: Names) -> Steps:
    return (Step(Action.DELETE, "endpoint", names.candidate, "delete_endpoint"),)


def _pruned(state: CurrentState, config: str, packages: Packages) -> Steps:
    """Delete what is neither to serve nor the version before it."""
    names, history = state.names, state.main.history if state.main else ()
    kept = {config, *[c for c in history if c != config][: KEPT - 1]}
    versions = {names.version_of(c) for c in kept}
    return (
        *deleted_configs(c for c in state.configs if c not in kept),
        *deleted_models(m for m in state.models if names.version_of(m) not in versions),
        *deleted_packages(packages, versions),
    )


def deleted_configs(names: Iterable[str]) -> Steps:
    """A step for each endpoint configuration."""
    return tuple(
        _deleted("endpoint configuration", name, "delete_config", EndpointConfigName=name)
        for name in names
    )


def deleted_models(names: Iterable[str]) -> Steps:
    """A step for each model."""
    return tuple(_deleted("model", name, "delete_model", ModelName=name) for name in names)


def deleted_packages(found: Packages, kept: Iterable[str] = ()) -> Steps:
    """A step for each version that is not in `kept`."""
    start, bucket = f"s3://{found.bucket}/{found.prefix}", found.bucket
    return tuple(
        _deleted("package", start + v, "delete_package", bucket=bucket, keys=keys, uploads=[])
        for v, keys in found.versions().items()
        if v not in kept
    )


def _deleted(resource: str, name: str, operation: str, **parameters: Any) -> Step:
    return Step(Action.DELETE, resource, name, operation, parameters)

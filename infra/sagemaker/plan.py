"""What to change, as data. An endpoint is updated behind a candidate: a second endpoint of the same
configuration must answer the golden request before the first is pointed to it.

The endpoint's tag onnxferry:previous lists the configurations that proved themselves there, newest
first. It is written when a version has proved itself, so that an interruption anywhere leaves a tag
that is true.
"""

from __future__ import annotations

from typing import Any

from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Plan, Step, unless
from onnxferry.infra.sagemaker import state as live
from onnxferry.infra.sagemaker import storage
from onnxferry.infra.sagemaker.desired import DesiredState, bucket, desired, role, role_policy
from onnxferry.infra.sagemaker.names import HISTORY_TAG
from onnxferry.infra.sagemaker.scope import Scope
from onnxferry.infra.sagemaker.state import BROKEN, BUSY, CurrentState, Endpoint

KEPT = 2  # what serves, and what served before

Steps = tuple[Step, ...]


def plan_deploy(scope: Scope, bundle: Bundle) -> Plan:
    """Steps that end with `bundle` serving."""
    want = desired(scope, bundle)
    there = live.read(scope)
    url = str(want.model["PrimaryContainer"]["ModelDataUrl"])
    serving = _serving(scope, want.config_name, url, there)
    steps = (
        *_storage(scope, bundle, want),
        *_role(scope),
        _made("model", "create_model", want.model["ModelName"], want.model, there.models),
        _made(
            "endpoint configuration", "create_config", want.config_name, want.config, there.configs
        ),
        *serving,
        *(
            _candidate_gone(scope)
            if there.candidate or _creates(serving, scope.names.candidate)
            else ()
        ),
        *_pruned(scope, want, there),
    )
    return Plan("sagemaker", "deploy", scope.names.endpoint, steps)


def plan_rollback(scope: Scope) -> Plan:
    """Steps that point the endpoint back. The version has proved itself here before, so it is not
    built up a second time: SageMaker checks the new instances' health before it moves traffic, and
    the golden request decides after."""
    there, name = live.read(scope), scope.names.endpoint
    back = there.unfinished or there.previous
    if there.main is None or not back:
        raise NotFound(
            f"AWS {scope.aws.region}, endpoint {name}: there is no previous version to go back to;"
            " deploy.py status shows what is there, deploy.py deploy puts any version live"
        )
    url = live.model_url(scope, back)
    storage.golden(scope, url)  # must be there before anything is switched
    steps = (
        *_moved(scope, back, url, there),
        *_proved(scope, there.main, back),
        *(_candidate_gone(scope) if there.candidate else ()),
    )
    return Plan("sagemaker", "roll back", name, steps)


def _storage(scope: Scope, bundle: Bundle, want: DesiredState) -> Steps:
    state = storage.bucket_state(scope)
    made = _bucket(scope, state)
    found = "absent" if state == "absent" else storage.stored(scope, bundle, want)
    name = f"s3://{scope.bucket}/{want.key}"
    if found == "same":
        return made, Step(Action.REUSE, "package", name)
    action = Action.CREATE if found == "absent" else Action.UPDATE
    parameters = {
        "sha256": bundle.package.sha256,
        "size": bundle.package.size,
        "golden": want.golden,
    }
    return made, Step(action, "package", name, "put_package", parameters)


def _bucket(scope: Scope, state: str) -> Step:
    if state == "ready":
        return Step(Action.REUSE, "bucket", scope.bucket)
    action = Action.CREATE if state == "absent" else Action.UPDATE
    return Step(action, "bucket", scope.bucket, "make_bucket", bucket(scope))


def _role(scope: Scope) -> Steps:
    if scope.config.role:
        return (Step(Action.REUSE, "role", scope.config.role),)
    there, policy = live.role(scope), role_policy(scope)
    if there and policy["PolicyName"] in live.role_policies(scope):
        return (Step(Action.REUSE, "role", scope.names.role),)
    action = Action.UPDATE if there else Action.CREATE
    return (
        Step(
            action, "role", scope.names.role, "make_role", {"create": role(scope), "policy": policy}
        ),
    )


def _made(
    resource: str, operation: str, name: str, request: dict[str, Any], there: tuple[str, ...]
) -> Step:
    return unless(name in there, resource, name, operation, request)


def _serving(scope: Scope, config: str, url: str, there: CurrentState) -> Steps:
    """From whatever the endpoint is to `config` serving, proved."""
    main, name = there.main, scope.names.endpoint
    if main is None or main.state == "Deleting":
        return (
            *_settled(main),
            *_created(scope, name, config),
            _smoke(name, url),
            *_proved(scope, main, config),
        )
    if _on_its_way(main, config):
        return (
            _arriving(main, config, there.previous),
            _smoke(name, url),
            *_proved(scope, main, config),
        )
    if main.state in BROKEN and not main.history:  # it never served
        successor: Steps = ()
    else:
        successor = _candidate(scope, config, url, there)
    return (
        *_settled(main),
        *successor,
        *_pointed(scope, config, url, main),
        *_proved(scope, main, config),
    )


def _moved(scope: Scope, config: str, url: str, there: CurrentState) -> Steps:
    """The endpoint at `config` without a candidate, smoked."""
    main = there.main
    if main is None:
        return ()
    if _on_its_way(main, config):
        return _arriving(main, config, there.previous), _smoke(main.name, url)
    return *_settled(main), *_pointed(scope, config, url, main)


def _on_its_way(main: Endpoint, config: str) -> bool:
    return main.coming == config and main.state not in {*BROKEN, "UpdateRollbackFailed"}


def _arriving(main: Endpoint, config: str, previous: str) -> Step:
    """It serves already, or an interrupted run has begun to make it serve."""
    if main.state == "InService" and main.history[:1] == (config,):
        return Step(Action.REUSE, "endpoint", main.name)
    back = _point(main.name, previous) if previous else None
    return Step(
        Action.CHECK, "endpoint", main.name, "await_endpoint", {"EndpointConfigName": config}, back
    )


def _candidate(scope: Scope, config: str, url: str, there: CurrentState) -> Steps:
    """A second endpoint with `config`, proved."""
    found, name = there.candidate, scope.names.candidate
    if found and found.coming == config and found.state in {"Creating", "InService"}:
        up: Steps = (
            Step(Action.CHECK, "endpoint", name, "await_endpoint", {"EndpointConfigName": config}),
        )
    else:
        up = (*(_candidate_gone(scope) if found else ()), *_created(scope, name, config))
    return *up, _smoke(name, url)


def _created(scope: Scope, name: str, config: str, history: tuple[str, ...] = ()) -> Steps:
    more = {HISTORY_TAG: " ".join(history)} if history else {}
    request = {"EndpointName": name, "EndpointConfigName": config, "Tags": scope.tags(**more)}
    return (Step(Action.CREATE, "endpoint", name, "create_endpoint", request),)


def _pointed(scope: Scope, config: str, url: str, main: Endpoint) -> Steps:
    """The endpoint moved to `config` and smoked; what served before comes back when that fails."""
    if main.state in BROKEN:
        gone = Step(Action.DELETE, "endpoint", main.name, "delete_endpoint")
        return gone, *_created(scope, main.name, config, main.history), _smoke(main.name, url)
    step = _point(main.name, config, _point(main.name, main.config))
    return step, _smoke(main.name, url)


def _point(name: str, config: str, restore: Step | None = None) -> Step:
    """All traffic at once, after the new instances are healthy: SageMaker's own blue/green."""
    traffic = {"Type": "ALL_AT_ONCE", "WaitIntervalInSeconds": 0}
    policy = {"TrafficRoutingConfiguration": traffic, "TerminationWaitInSeconds": 0}
    request = {
        "EndpointName": name,
        "EndpointConfigName": config,
        "DeploymentConfig": {"BlueGreenUpdatePolicy": policy},
    }
    return Step(Action.UPDATE, "endpoint", name, "promote", request, restore)


def _smoke(name: str, url: str) -> Step:
    return Step(Action.CHECK, "answer", name, "smoke", {"package": url}, settles=True)


def _proved(scope: Scope, main: Endpoint | None, config: str) -> Steps:
    """The tag that says what has proved itself; no step when it says so already."""
    before = main.history if main and main.state != "Deleting" else ()
    history = (config, *(c for c in before if c != config))[:KEPT]
    if history == before:
        return ()
    tag = {"Tags": [{"Key": HISTORY_TAG, "Value": " ".join(history)}]}
    return (Step(Action.UPDATE, "record of what served", scope.names.endpoint, "mark", tag),)


def _settled(found: Endpoint | None) -> Steps:
    if found is None or found.state not in BUSY:
        return ()
    return (Step(Action.CHECK, "endpoint", found.name, "settle", {"state": found.state}),)


def _candidate_gone(scope: Scope) -> Steps:
    return (Step(Action.DELETE, "endpoint", scope.names.candidate, "delete_endpoint"),)


def _creates(steps: Steps, name: str) -> bool:
    return any(step.name == name and step.operation == "create_endpoint" for step in steps)


def _pruned(scope: Scope, want: DesiredState, there: CurrentState) -> Steps:
    """Delete what is neither to serve nor the version before it."""
    history = there.main.history if there.main else ()
    kept = {want.config_name, *[c for c in history if c != want.config_name][: KEPT - 1]}
    versions = {scope.names.version_of(config) for config in kept}
    configs = [c for c in there.configs if c not in kept]
    models = [m for m in there.models if scope.names.version_of(m) not in versions]
    return *deleted_configs(configs), *deleted_models(models), *_packages(scope, versions)


def _packages(scope: Scope, versions: set[str]) -> Steps:
    found = storage.packages(scope, scope.bucket, scope.prefix)
    return tuple(
        deleted_package(scope.bucket, f"{scope.prefix}{version}", keys)
        for version, keys in (found.versions().items() if found else ())
        if version not in versions
    )


def deleted_configs(names: list[str]) -> Steps:
    return tuple(
        Step(
            Action.DELETE,
            "endpoint configuration",
            name,
            "delete_config",
            {"EndpointConfigName": name},
        )
        for name in names
    )


def deleted_models(names: list[str]) -> Steps:
    return tuple(
        Step(Action.DELETE, "model", name, "delete_model", {"ModelName": name}) for name in names
    )


def deleted_package(bucket: str, name: str, keys: list[str]) -> Step:
    parameters = {"bucket": bucket, "keys": keys, "uploads": []}
    return Step(Action.DELETE, "package", f"s3://{bucket}/{name}", "delete_package", parameters)

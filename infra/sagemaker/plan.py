"""What to change, as data.

The tag onnxferry:previous lists the configurations that proved themselves, newest first. It is
written when all else serves, so that it is true wherever a run is interrupted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from onnxferry.infra.costs import USED
from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Plan, Step, Summary, unless
from onnxferry.infra.sagemaker import alarms, async_inference, capture, rollout, shadow
from onnxferry.infra.sagemaker.desired import DesiredState, Upload
from onnxferry.infra.sagemaker.fleet import Variant, variants_of
from onnxferry.infra.sagemaker.guardrails import UNGUARDED, Guardrails, guardrails
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.packages import Packages
from onnxferry.infra.sagemaker.rollout import KEPT, Goal
from onnxferry.infra.sagemaker.shadow import ShadowTest
from onnxferry.infra.sagemaker.state import CurrentState, Prerequisites
from onnxferry.infra.sagemaker.tagging import changed_tags
from onnxferry.system.exits import program

TARGET = "sagemaker"
_ACTIONS = {"ready": Action.REUSE, "same": Action.REUSE, "absent": Action.CREATE}

_CONFIG = "endpoint configuration"


def deploy(
    state: CurrentState,
    desired: DesiredState,
    found: Prerequisites,
    used: Collection[str] = (),
    beside: ShadowTest | None = None,
) -> Plan:
    """Steps that end with the bundle of `desired` serving, or as a shadow `beside` what serves. Of
    what nothing here needs any more, what is `used` by others stays."""
    names, package = state.names, desired.package
    model, config = desired.model["ModelName"], desired.config["EndpointConfigName"]
    guard = UNGUARDED if beside else guardrails(state, desired.watched)
    goal = goal_of(desired, beside, guard)
    serving, stays = rollout.serving(state, goal), kept(state, config, beside)
    foundation = (made(found.bucket, "bucket", names.bucket, "make_bucket", desired.bucket),)
    steps = (
        *foundation,
        package_step(package, found),
        role(names, desired.role, found),
        hosted("model", model, desired.model, model in state.models),
        hosted(_CONFIG, config, desired.config, config in state.configs),
        *_shadowed(state, beside),
        *guard.steps,
        *serving,
        *changed_tags(state, model, config, goal.config),
        *delete_unused(state, stays, found.packages, used),
    )
    fleets = rollout.peak(state, goal.variant, serving)
    will = rollout.will_run(state, goal.variant)
    answers = rollout.will_run(state, variants_of(beside.config).alone) if beside else will
    summary = Summary(
        names.place,
        state.version if beside else desired.version,
        state.replaced,
        str(answers),
        rollout.minutes(names, serving),
        peak=str(fleets),
        notes=(
            *rollout.notes(state, goal.variant),
            *guard.notes,
            *shadow.notes(state, desired, beside),
            *async_inference.notes(names),
            *capture.notes(names),
        ),
        region=names.region,
        count=will.count,
        costs={"endpoint": USED} if desired.variant.mode == "serverless" else {},
    )
    return Plan(TARGET, "deploy", names.endpoint, steps, summary, len(foundation))


def goal_of(
    desired: DesiredState, beside: ShadowTest | None, guard: Guardrails = UNGUARDED
) -> Goal:
    """What is to serve: what is desired, or what serves now with that as its shadow."""
    config, url = desired.config["EndpointConfigName"], desired.package.url
    return beside.goal if beside else Goal(config, url, desired.variant, guard.deployment)


def _shadowed(state: CurrentState, beside: ShadowTest | None) -> tuple[Step, ...]:
    """The configuration that has the shadow."""
    if beside is None:
        return ()
    return (hosted(_CONFIG, beside.name, beside.config, beside.name in state.configs),)


def to_go_back_to(state: CurrentState) -> str:
    """The configuration that a roll-back goes to. Raises NotFound when none is kept."""
    found = state.unfinished or state.previous
    if not found:
        raise NotFound(
            f"AWS {state.names.region}, endpoint {state.names.endpoint}: there is no previous"
            f" version to go back to; {program('deploy')} puts any version live"
        )
    return found


def rollback(state: CurrentState, url: str, variant: Variant) -> Plan:
    """Steps that point the endpoint back, to the package at `url` with its production `variant`.
    Raises NotFound when none is kept. It has proved itself here before, so it needs no
    candidate."""
    names, config = state.names, to_go_back_to(state)
    back = rollout.moved(state, Goal(config, url, variant))
    steps = (*back, *rollout.proved(state, config), *rollout.delete_candidate(state))
    fleets = str(rollout.peak(state, variant, back))
    will, version = str(rollout.will_run(state, variant)), names.version_of(config)
    summary = Summary(names.place, version, state.replaced, will, (5, 15), peak=fleets)
    return Plan(TARGET, "roll back", names.endpoint, steps, summary)


def hosted(resource: str, name: str, request: Mapping[str, Any], there: bool) -> Step:
    """A model or a configuration. What is made and not proved is removed."""
    operation, removal = {
        "model": ("create_model", deleted_model(name)),
        _CONFIG: ("create_config", deleted_config(name)),
    }[resource]
    step = unless(there, resource, name, operation, request)
    return step if there else replace(step, removal=removal)


def role(names: Names, wanted: Mapping[str, Any] | None, found: Prerequisites) -> Step:
    """The role that is `wanted`, or the given one."""
    if wanted is None:
        return Step(Action.REUSE, "role", names.role_arn)
    there = "absent" if found.policies is None else "other"
    bound = wanted["create"].get("PermissionsBoundary") in (None, found.boundary)
    if wanted["policy"]["PolicyName"] in (found.policies or ()) and bound:
        there = "same"
    return made(there, "role", names.role, "make_role", wanted)


def package_step(package: Upload, found: Prerequisites) -> Step:
    """The package in its bucket."""
    return made(found.package, "package", package.url, "put_package", asdict(package))


def made(there: str, resource: str, name: str, operation: str, request: Mapping[str, Any]) -> Step:
    """What makes a resource that is "absent", "ready", "same" or something else."""
    action = _ACTIONS.get(there, Action.UPDATE)
    if action is Action.REUSE:
        return Step(action, resource, name)
    return Step(action, resource, name, operation, request)


def unused(state: CurrentState, stays: Collection[str]) -> tuple[set[str], set[str]]:
    """Configurations other than those that stay, and models of none of them."""
    packages = set(map(state.names.package_of, stays))
    models = {m for m in state.models if state.names.package_of(m) not in packages}
    return {c for c in state.configs if c not in stays}, models


def _has_alarms(state: CurrentState) -> bool:
    return state.names.settings.rollout.alarms


def kept(state: CurrentState, config: str, beside: ShadowTest | None = None) -> set[str]:
    """The configuration that is to serve and the one before it; all that have served, and that with
    the shadow, where it is to be `beside` what serves."""
    history = state.main.history if state.main else ()
    if beside:
        return {config, beside.name, *history}
    return {config, *[c for c in history if c != config][: KEPT - 1]}


def delete_unused(
    state: CurrentState, stays: Collection[str], packages: Packages, used: Collection[str]
) -> Iterator[Step]:
    """Delete what is neither needed nor used by anything else."""
    configs, models = (sorted(names - set(used)) for names in unused(state, stays))
    yield from deleted_alarms(state, stays if _has_alarms(state) else ())
    yield from deleted_hosting(configs, models)
    needed = {*stays, *used, *state.foreign, *set(state.models) - set(models)}
    yield from deleted_packages(packages, set(map(state.names.package_of, needed)))


def deleted_alarms(state: CurrentState, kept: Collection[str]) -> Iterator[Step]:
    """A step for each alarm that watches none of the configurations that are `kept`."""
    return map(alarms.deleted, alarms.unused(state.names, state.alarms, kept))


def deleted_hosting(configs: Iterable[str], models: Iterable[str]) -> Iterator[Step]:
    """A step for each endpoint configuration, then for each model."""
    yield from map(deleted_config, configs)
    yield from map(deleted_model, models)


def deleted_config(name: str) -> Step:
    """A step that deletes an endpoint configuration."""
    return deleted(_CONFIG, name, "delete_config", EndpointConfigName=name)


def deleted_model(name: str) -> Step:
    """A step that deletes a model."""
    return deleted("model", name, "delete_model", ModelName=name)


def deleted_packages(found: Packages, kept: Collection[str] = ()) -> Iterator[Step]:
    """A step for each whose hash begins with none of `kept`."""
    begins = tuple(filter(None, kept))
    for package in found.found:
        if not package.sha256.startswith(begins):
            name = f"s3://{found.bucket}/{found.folder}{package.version}"
            what = {"bucket": found.bucket, **asdict(package)}
            yield deleted("package", name, "delete_package", **what)


def deleted(resource: str, name: str, operation: str, /, **parameters: Any) -> Step:
    """A step that deletes."""
    return Step(Action.DELETE, resource, name, operation, parameters)

"""The steps that bring an MLflow model to SageMaker.

mlflow.deployments makes the archive, the model, the configuration and the endpoint at once: the
endpoint itself where there is none, else the candidate. All that follows (golden request,
blue/green to the configuration that has proved itself, history, what goes) is as for target
sagemaker, and what it made once is used again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import asdict, replace
from typing import Any

from onnxferry.infra.mlflow.endpoints.sagemaker_desired import DesiredModel
from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.sagemaker import plan, rollout
from onnxferry.infra.sagemaker.guardrails import guardrails
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG
from onnxferry.infra.sagemaker.rollout import Goal, Steps
from onnxferry.infra.sagemaker.state import CurrentState, Prerequisites
from onnxferry.infra.sagemaker.tagging import changed_tags

_CONFIG = "endpoint configuration"


def goal(state: CurrentState, desired: DesiredModel) -> Goal:
    """The configuration that is to serve: one that is there, or that of the first endpoint that is
    brought up."""
    config = desired.there(state)
    if not config:
        begun = rollout.serving(state, _goal(desired, desired.config(state.names.candidate)))
        made = next(step.name for step in begun if step.operation == "create_endpoint")
        config = desired.config(made)
    return _goal(desired, config)


def deploy(
    state: CurrentState, desired: DesiredModel, found: Prerequisites, used: Collection[str]
) -> Plan:
    """Steps that end with the model of `desired` serving, proved; `used` names what others use."""
    names, to = state.names, goal(state, desired)
    guard = guardrails(state, desired.watched(to.config))
    to = replace(to, deployment=guard.deployment)
    serving = rollout.serving(state, to)
    model = desired.model(to.config)
    foundation = (plan.made(found.bucket, "bucket", names.bucket, "make_bucket", desired.bucket),)
    steps = (
        *foundation,
        plan.role(names, desired.role, found),
        *_manifest(desired, found, to),
        *guard.steps,
        *(_again if desired.there(state) else _by_mlflow)(state, serving, desired, to),
        *changed_tags(state, model, to.config),
        *plan.delete_unused(state, plan.kept(state, to.config), found.packages, used),
    )
    summary = _summary(state, to, serving)
    summary = replace(summary, notes=(*summary.notes, *guard.notes))
    return Plan(plan.TARGET, "deploy", names.endpoint, steps, summary, 1)


def _goal(desired: DesiredModel, config: str) -> Goal:
    return Goal(config, desired.url(config), desired.variant(config))


def _summary(state: CurrentState, to: Goal, serving: Steps) -> Summary:
    names = state.names
    return Summary(
        names.place,
        names.version_of(to.config),
        state.replaced,
        str(rollout.will_run(state, to.variant)),
        rollout.minutes(names, serving),
        peak=str(rollout.peak(state, to.variant, serving)),
        notes=rollout.notes(state, to.variant),
    )


def _manifest(desired: DesiredModel, found: Prerequisites, to: Goal) -> Iterator[Step]:
    """What proves the model, put before anything else of it: it proves, too, whose it is."""
    upload = desired.manifest(to.config)
    step = plan.made(found.package, "package", upload.url, "put_manifest", asdict(upload))
    if found.package == "absent":
        objects = [[upload.key, ""], [upload.golden_key, ""]]
        what = {"bucket": upload.bucket, "sha256": upload.sha256, "objects": objects}
        gone = plan.deleted("package", upload.url, "delete_package", markers=[], uploads=[], **what)
        step = replace(step, removal=gone)
    yield step


def _again(state: CurrentState, serving: Steps, desired: DesiredModel, to: Goal) -> Iterator[Step]:
    """`serving`, with a configuration that is there; marked, where a run was cut off before."""
    if ENDPOINT_TAG not in state.configs[to.config].tags:
        yield _mark(desired, to)
    yield from serving


def _by_mlflow(
    state: CurrentState, serving: Steps, desired: DesiredModel, to: Goal
) -> Iterator[Step]:
    """`serving`, whose first new endpoint mlflow.deployments makes, with all that it stands on."""
    first = next(step for step in serving if step.operation == "create_endpoint")
    half_made = desired.model(to.config) in state.models
    for step in serving:
        yield from _made(step, desired, to, half_made=half_made) if step is first else (step,)


def _mark(desired: DesiredModel, to: Goal) -> Step:
    mark = {"Tags": desired.names.tags(desired.version)}
    return Step(Action.CREATE, _CONFIG, to.config, "mark_config", mark)


def _made(endpoint: Step, desired: DesiredModel, to: Goal, *, half_made: bool) -> Iterator[Step]:
    """The call, then the mark of what it made without one, then the wait. A model without its
    configuration is what a run has left that was cut off."""
    name, model = endpoint.name, desired.model(to.config)
    if half_made:
        yield plan.deleted_model(model)
    what: dict[str, Any] = {"endpoint": name, "model": model, "config": to.config}
    asked = {"package": str(desired.package), "files": dict(desired.files)}
    asked |= {"suffix": desired.suffix, "settings": dict(desired.settings)}
    gone = Step(Action.DELETE, _CONFIG, to.config, "delete_deployment", what)
    create = Step(Action.CREATE, "model", model, "create_deployment", {**what, **asked})
    yield replace(create, removal=gone)
    yield _mark(desired, to)
    yield Step(
        Action.CREATE,
        "endpoint",
        name,
        "await_endpoint",
        {"EndpointConfigName": to.config},
        restore=endpoint.restore,
    )

"""The steps of a deployment and of a roll-back, made of the current and the desired state."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from onnxferry.infra.clients.mlflow_types import Version
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.mlflow.desired import DesiredState
from onnxferry.infra.mlflow.names import CHALLENGER, CHAMPION, DEPLOYED, MADE, SHA256, VERSION
from onnxferry.infra.mlflow.state import CurrentState
from onnxferry.infra.plan import Action, Plan, Step, unless

_ANOTHER = "choose another name: --name, or name in [model] of deploy.toml"
Facts = Mapping[str, Any]


def check(state: CurrentState) -> None:
    """Raise Refused where the registered model, or an alias of it, is not ours to change."""
    name = state.names.where
    if state.model and not state.is_ours:
        raise Refused(
            f"{name}: it is there, and onnxferry did not make it (no tag"
            f" {MADE}={state.names.endpoint}). {_ANOTHER.capitalize()}; or give it that tag, which"
            " hands it over"
        )
    for alias in (CHAMPION, CHALLENGER):
        number = state.aliases.get(alias, "")
        if number and number not in state.ours:
            raise Refused(
                f"{name}: alias {alias} is on version {number}, and onnxferry did not make that (no"
                f" tag {MADE}). Move the alias away, or {_ANOTHER}"
            )


def deploy(state: CurrentState, desired: DesiredState) -> Plan:
    """What ends with `desired` live. Versions that have served stay: a registry is a history."""
    check(state)
    foundation = [] if state.there else [_create("database", state.place, "create_database", {})]
    steps = [*foundation, *_registered(state, desired)]
    found = state.numbered(desired.version)
    wanted = {"version": desired.version}
    smoke = _smoke(state, desired.version, wanted)
    if found and found.number == state.champion:
        steps.append(replace(smoke, proves=True))
    else:
        steps += [_challenge(state, wanted, found), smoke, *_promote(state, wanted)]
    steps += [*_passed(state, found), *_outdated(state, desired, found)]
    return Plan("mlflow", "deploy", state.names.endpoint, tuple(steps), foundation=len(foundation))


def rollback(state: CurrentState) -> tuple[Step, ...]:
    """The steps that move champion back. Raises NotFound when no version served before."""
    check(state)
    if not state.previous:
        raise NotFound(f"{state.names.where}: no previous version is kept")
    wanted = {"number": state.previous}
    return (_smoke(state, state.version(state.previous), wanted), *_promote(state, wanted))


def delete_version(state: CurrentState, version: Version) -> Step:
    """Delete one version."""
    name = f"{state.names.model}/{version.number}"
    return Step(Action.DELETE, "version", name, "delete_version", {"number": version.number})


def delete_files(state: CurrentState, gone: list[Version], *, optional: bool) -> list[Step]:
    """Delete what is logged and of no version but those that are `gone`."""
    how = {"optional": True} if optional else {}
    return [
        Step(Action.DELETE, one.kind, one.id, "delete_files", {"id": one.id, **how})
        for one in state.unused(gone)
    ]


def _registered(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Experiment, files, registered model and version. What has not proved itself is removed when
    the run fails."""
    names, version = state.names, desired.version
    marks = {MADE: names.endpoint, DEPLOYED: desired.deployed}
    own = {**marks, VERSION: version, SHA256: desired.sha256}
    found, label = state.numbered(version), names.version(version)
    there = state.experiment is not None
    steps = [unless(there, "experiment", names.experiment, "create_experiment", {})]
    what: Facts = {"source": desired.source, "sha256": desired.sha256, "version": version}
    whole = found is not None or state.files(version) is not None
    files = unless(whole, "files", label, "log", {**what, "tags": {**desired.tags, **own}})
    model = unless(
        state.model is not None,
        "registered model",
        names.model,
        "create_model",
        {"tags": {**desired.tags, **marks}},
    )
    register = unless(
        found is not None,
        "version",
        label,
        "register",
        {"version": version, "tags": {**desired.tags, **own}},
    )
    if not found or found in state.unproved:
        facts = {"version": version}
        gone = Step(Action.DELETE, "files", label, "delete_files", facts)
        files = replace(files, removal=gone)
        gone = Step(Action.DELETE, "version", label, "delete_version", facts)
        register = replace(register, removal=gone)
    if not state.model:
        model = replace(model, removal=delete_model(state))
    return [*steps, files, model, register, *_tags(state, desired, found)]


def delete_model(state: CurrentState) -> Step:
    """Delete the registered model with all its versions, which are ours."""
    return Step(Action.DELETE, "registered model", state.names.model, "delete_model")


def _tags(state: CurrentState, desired: DesiredState, found: Version | None) -> list[Step]:
    """Set what has changed of deploy.toml's tags."""
    steps = []
    if state.model and (changed := _changed(desired.tags, state.model.tags)):
        where = "tags of registered model"
        steps.append(Step(Action.UPDATE, where, state.names.model, "tag_model", {"tags": changed}))
    if found and (changed := _changed(desired.tags, found.tags)):
        facts = {"number": found.number, "tags": changed}
        name = state.names.version(desired.version)
        steps.append(Step(Action.UPDATE, "tags of version", name, "tag_version", facts))
    return steps


def _changed(wanted: Mapping[str, str], found: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in wanted.items() if found.get(key) != value}


def _challenge(state: CurrentState, facts: Facts, found: Version | None) -> Step:
    """Alias challenger on the version that is to be proved."""
    name = state.names.alias(CHALLENGER)
    removal = Step(Action.DELETE, "alias", name, "drop_challenger")
    step = _create("alias", name, "challenge", facts)
    if state.challenger:
        same = found and found.number == state.challenger
        step = Step(Action.REUSE, "alias", name) if same else replace(step, action=Action.UPDATE)
    return replace(step, removal=removal)


def _smoke(state: CurrentState, version: str, facts: Facts) -> Step:
    """Fetch a version, compare it with the package, and ask it the golden requests."""
    label = state.names.version(version)
    return Step(Action.CHECK, "golden requests to version", label, "smoke", facts)


def _promote(state: CurrentState, facts: Facts) -> list[Step]:
    """Champion to the version; the way back is where it is now."""
    name, seen = state.names.alias(CHAMPION), state.champion
    step = _create("alias", name, "promote", {**facts, "seen": seen})
    back = {"number": seen, "seen": facts}
    if seen:
        restore = Step(Action.UPDATE, "alias", name, "put_back", back)
        step = replace(step, action=Action.UPDATE, restore=restore)
    else:
        step = replace(step, removal=Step(Action.DELETE, "alias", name, "put_back", back))
    return [step, Step(Action.CHECK, "alias", name, "confirm", facts, proves=True)]


def _passed(state: CurrentState, found: Version | None) -> list[Step]:
    """Take challenger away from what has become champion."""
    name = state.names.alias(CHALLENGER)
    if state.challenger or not (found and found.number == state.champion):
        return [Step(Action.DELETE, "alias", name, "drop_challenger")]
    return []


def _outdated(state: CurrentState, desired: DesiredState, found: Version | None) -> list[Step]:
    """Delete what earlier runs have left, and the files that no version needs."""
    outdated = [version for version in state.unproved if version != found]
    kept = state.files(desired.version)
    steps = [delete_version(state, version) for version in outdated]
    files = delete_files(state, outdated, optional=True)
    return [*steps, *(step for step in files if not kept or step.parameters["id"] != kept.id)]


def _create(resource: str, name: str, operation: str, facts: Facts) -> Step:
    return Step(Action.CREATE, resource, name, operation, facts)

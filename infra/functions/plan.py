"""The steps of a deployment and of a roll-back, made of the current and the desired state. Nothing
is read or written here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.errors import NameTaken, NotFound, Unavailable
from onnxferry.infra.functions.app_config import (
    OFF,
    app_changes,
    config_change,
    strays,
    undone,
    until_the_end,
)
from onnxferry.infra.functions.app_settings import reverse, setting_changes
from onnxferry.infra.functions.deletion import (
    COMPONENT,
    WORKSPACE,
    delete_app,
    delete_package,
    delete_roles,
)
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import MADE, PACKAGES, PUBLISHING, VERSION
from onnxferry.infra.functions.prerequisites import (
    access,
    foundation,
    put_app,
    retag,
    telemetry,
    upload,
)
from onnxferry.infra.functions.state import AppState, CurrentState
from onnxferry.infra.plan import Action, Step


def check(state: CurrentState) -> None:
    """Raise where nothing can be deployed: the group is going, or what was given is not there, or
    is not ours."""
    names = state.names
    if state.group and state.group.state == "Deleting":
        raise Unavailable(
            f"resource group {names.group}: it is being deleted; wait, then run again"
        )
    if names.given_account and not state.account:
        raise NotFound(
            f"storage account {names.given_account}: resource group {names.group} has none of that"
            " name; correct storage_account in [functions] of deploy.toml, or leave it out and one"
            " is created"
        )
    check_ours(state)


def check_ours(state: CurrentState) -> None:
    """Raise NameTaken when an app or a plan of our names is there that onnxferry did not make."""
    for app in (state.main, state.candidate):
        for kind, found in (("app", app.app), ("plan", app.plan)):
            if found and not state.names.marks(found.tags):
                taken = f"Azure Functions {kind} {found.name} of resource group {state.names.group}"
                raise NameTaken(f"{taken}: {_NOT_MADE.format(state.names.app)}. {_OTHER_NAME}")


def check_telemetry(state: CurrentState) -> None:
    """Raise NameTaken when what logs shall go to is there and not ours."""
    for kind, found in ((WORKSPACE, state.workspace), (COMPONENT, state.component)):
        if found and not state.ours(found):
            taken = f"{kind} {found.name} of resource group {state.names.group}"
            off = "Or set application_insights = false in [functions] of deploy.toml"
            why = f"{_NOT_MADE.format(state.names.app)}. {_OTHER_NAME}. {off}"
            raise NameTaken(f"{taken}: {why}")


_NOT_MADE = f"it is there, and onnxferry did not make it (no tag {MADE}={{}})"
_OTHER_NAME = "Choose another name: --name, or name in [model] of deploy.toml"


def deploy(state: CurrentState, desired: DesiredState) -> tuple[Step, ...]:
    """The steps that end with the package of `desired` live, and nothing of the way there left."""
    main, sha256 = state.main, desired.sha256
    if not main.version:
        steps = [*_proved(main, state, desired), _record(main, desired.deployed, sha256, "")]
    elif main.version == sha256 and not main.publishing and not strays(main, desired):
        steps = [*put_app(main, state, desired), *_smoke(main.name, desired.package)]
    else:
        steps = [*put_app(main, state, desired, change=False), *_update(state, desired)]
    keep = {sha256, main.previous if main.version == sha256 else main.version}
    made = any(step.name == state.candidate.name for step in steps)
    return (
        *foundation(state, desired),
        upload(state, desired),
        *(telemetry(state, desired) if desired.telemetry else ()),
        *steps,
        *retag(state, desired),
        *_needless_roles(state, desired),
        *_delete_unused(state, keep, made_candidate=made),
    )


def rollback(state: CurrentState, deployed: str) -> tuple[Step, ...]:
    """The steps that publish the package before the one that serves; after an update that was cut
    off, that is the one that served last. Raises NotFound when there is none."""
    main, packages = state.main, state.packages or {}
    cut_off = main.publishing not in ("", main.previous)
    target, before = (main.version, main.previous) if cut_off else (main.previous, main.version)
    if not main.app or not main.version or not target:
        raise NotFound(
            f"Azure Functions app {main.name}: no previous version is kept, so there is none to go"
            " back to"
        )
    if state.packages is not None and target not in packages:
        raise NotFound(
            f"Azure Functions app {main.name}: the package {target[:12]} is no longer in container"
            f" {PACKAGES} of storage account {state.names.account}; deploy that version again from"
            " its model directory"
        )
    python = packages.get(target, {}).get("python") or main.python
    package, runtime = {"sha256": target}, {"runtime": {"name": "python", "version": python}}
    return (
        *access(state),
        Step(Action.CHECK, "package", target[:12], "fetch_package", package),
        _promote(main, package, config_change(main, runtime), {}),
        *_smoke(main.name, package),
        _record(main, deployed, target, before),
    )


def _update(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Prove the package on the candidate, unless it has proved itself on the app before, and give
    it to the app."""
    main, sha256 = state.main, desired.sha256
    stale = main.version != sha256 or strays(main, desired)
    before = main.previous if main.version == sha256 else main.version
    return [
        *(_proved(state.candidate, state, desired) if stale else ()),
        _promote_desired(main, desired),
        *_smoke(main.name, desired.package),
        *_sign_off(main, desired),
        _record(main, desired.deployed, sha256, before),
    ]


def _proved(app: AppState, state: CurrentState, desired: DesiredState) -> list[Step]:
    """The app with the package, which answers the golden request."""
    publish = Step(Action.UPDATE, "package of app", app.name, "publish", desired.package)
    smoke = _smoke(app.name, desired.package)
    return [*put_app(app, state, desired), publish, *smoke, *_sign_off(app, desired)]


def _promote_desired(main: AppState, desired: DesiredState) -> Step:
    variables = setting_changes(main.settings, desired.environment)
    return _promote(main, desired.package, app_changes(main, desired), variables)


def _sign_off(app: AppState, desired: DesiredState) -> list[Step]:
    """Ask callers for no token any longer, at the end: what else opens the functions holds by
    then."""
    changes = app_changes(app, desired)
    if OFF not in changes:
        return []
    facts = {key: changes[key] for key in (OFF, "tags")}
    return [Step(Action.UPDATE, "sign-in of app", app.name, OFF, facts)]


def _promote(
    main: AppState,
    package: Mapping[str, str],
    changes: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> Step:
    """Publish to the app that serves, with changes of it and of its settings, unless another run
    has been there. The way back is to publish what served, with the app and the settings of now."""
    facts: dict[str, Any] = {**package, "seen": main.seen}
    back: dict[str, Any] = {"sha256": main.version, "previous": main.previous}
    back["seen"] = {VERSION: main.version, PUBLISHING: package["sha256"]}
    if changes:
        facts["changes"], back["changes"] = until_the_end(main, changes), undone(main, changes)
    if settings:
        facts["settings"], back["settings"] = settings, reverse(main.settings, settings)
    restore = Step(Action.UPDATE, "package of app", main.name, "restore", back)
    return Step(Action.UPDATE, "package of app", main.name, "promote", facts, restore)


def _smoke(app: str, package: Mapping[str, str]) -> list[Step]:
    return [
        Step(Action.CHECK, "health of app", app, "wait_until_healthy"),
        Step(Action.CHECK, "golden request to app", app, "smoke", package, proves=True),
    ]


def _record(app: AppState, deployed: str, sha256: str, previous: str) -> Step:
    facts = {"version": sha256, "previous": previous, "deployed": deployed}
    return Step(Action.UPDATE, "versions in the tags of app", app.name, "record_version", facts)


def _needless_roles(state: CurrentState, desired: DesiredState) -> list[Step]:
    """Take from the app's own identity what it needs no longer beside the one that is given."""
    main = state.main
    if desired.identity and (main.role or main.publisher):
        return [delete_roles(main.name, state)]
    return []


def _delete_unused(state: CurrentState, keep: set[str], *, made_candidate: bool) -> list[Step]:
    """Delete the candidate, and the packages that neither serve nor are the previous one."""
    steps = delete_app(state.candidate, state, certainly=made_candidate)
    return [*steps, *map(delete_package, sorted(set(state.unused) - keep))]

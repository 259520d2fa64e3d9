"""What to change, as data: a snapshot of the cloud and a bundle become the steps of a deployment, a
roll-back or a deletion. Nothing is read or written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.errors import NameTaken, NotFound, Unavailable
from onnxferry.infra.functions import environment
from onnxferry.infra.functions.names import MADE, PACKAGES, container, farm
from onnxferry.infra.functions.state import AppState, CurrentState
from onnxferry.infra.plan import Action, Step, unless

_PENDING = frozenset(
    {"Creating", "Updating", "InProgress", "Accepted", "ResolvingDNS", "Provisioning", "Deleting"}
)
# by Flex Consumption: functionAppConfig says it, or a publication would go wrong
FORBIDDEN_SETTINGS = frozenset(
    {
        "ENABLE_ORYX_BUILD",
        "FUNCTIONS_EXTENSION_VERSION",
        "FUNCTIONS_WORKER_RUNTIME",
        "SCM_DO_BUILD_DURING_DEPLOYMENT",
        "WEBSITE_RUN_FROM_PACKAGE",
    }
)


@dataclass(frozen=True)
class DesiredState:
    """How things shall be: `scale` is scaleAndConcurrency of functionAppConfig, `blobs` the URL of
    the blobs, and `environment` the variables that deploy.toml gives the app."""

    location: str
    tags: Mapping[str, str]
    scale: Mapping[str, Any]
    blobs: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def config(self, app: str, python: str) -> dict[str, Any]:
        """The functionAppConfig of `app` for a package that is made for `python`."""
        return {
            "deployment": {
                "storage": {
                    "type": "blobContainer",
                    "value": f"{self.blobs}/{container(app)}",
                    "authentication": {"type": "SystemAssignedIdentity"},
                }
            },
            "runtime": {"name": "python", "version": python},
            "scaleAndConcurrency": dict(self.scale),
        }


def check(live: CurrentState) -> None:
    """Raise where nothing can be deployed: the group is going, or what was given is not there, or
    is not ours."""
    if live.group and live.group.state == "Deleting":
        raise Unavailable(
            f"resource group {live.names.group}: it is being deleted; wait, then run again"
        )
    if live.names.given_account and not live.account:
        raise NotFound(
            f"storage account {live.names.given_account}: resource group {live.names.group} has"
            " none of that name; correct storage_account in [functions] of deploy.toml, or leave"
            " it out and one is created"
        )
    check_ours(live)


def check_ours(live: CurrentState) -> None:
    """Raise NameTaken when an app or a plan of our names is there that onnxferry did not make."""
    for side in (live.main, live.candidate):
        for kind, found in (("app", side.app), ("plan", side.farm)):
            if found and found.tags.get(MADE, "").lower() != live.names.app.lower():
                raise NameTaken(
                    f"Azure Functions {kind} {found.name} of resource group {live.names.group}: it"
                    f" is there, and onnxferry did not make it (no tag {MADE}={live.names.app})."
                    " Choose another name: --name, or name in [model] of deploy.toml"
                )


def deploy(live: CurrentState, wanted: DesiredState, sha256: str, python: str) -> tuple[Step, ...]:
    """The steps that end with package `sha256` live, and nothing of the way there left."""
    first = [*_ground(live, wanted), *_package(live, sha256, python)]
    main, config = live.main, wanted.config(live.names.app, python)
    if not main.version:
        steps = [
            *_side(main, live, wanted, python),
            *_publish(main.name, sha256),
            *_proof(main.name, sha256),
        ]
        steps.append(_record(main.name, sha256, ""))
    elif main.version == sha256 and not main.publishing and not _strays(main, config, wanted):
        steps = [*_side(main, live, wanted, python), *_proof(main.name, sha256)]
    else:
        steps = [*_side(main, live, wanted, None), *_update(live, wanted, sha256, python)]
    keep = {sha256, main.previous if main.version == sha256 else main.version}
    return (
        *first,
        *steps,
        *_tidy(live, keep, made_candidate=any(s.name == live.names.candidate for s in steps)),
    )


def rollback(live: CurrentState) -> tuple[Step, ...]:
    """The steps that publish the package before the one that serves; after an update that was cut
    off, that is the one that served last."""
    main, packages = live.main, live.packages or {}
    cut_off = main.publishing not in ("", main.previous)
    target, before = (main.version, main.previous) if cut_off else (main.previous, main.version)
    if not main.app or not main.version or not target:
        raise NotFound(
            f"Azure Functions app {main.name}: no previous version is kept, so there is none to go"
            " back to"
        )
    if live.packages is not None and target not in packages:
        raise NotFound(
            f"Azure Functions app {main.name}: the package {target[:12]} is no longer in container"
            f" {PACKAGES} of storage account {live.names.account}; deploy that version again from"
            " its model directory"
        )
    runtime = {"name": "python", "version": packages.get(target, {}).get("python") or _python(main)}
    return (
        Step(Action.CHECK, "package", target[:12], "fetch", {"sha256": target}),
        _promote(main, target, {"runtime": runtime}, None),
        *_proof(main.name, target),
        _record(main.name, target, before),
    )


def drift(side: AppState, config: Mapping[str, Any]) -> bool:
    """Whether the app's functionAppConfig differs in a value that `config` sets."""
    return side.app is not None and _differs(config, side.app.config)


def _strays(side: AppState, config: Mapping[str, Any], wanted: DesiredState) -> bool:
    """Whether the app differs from what deploy.toml says, in its configuration or its
    environment."""
    return drift(side, config) or bool(environment.change(side.settings, wanted.environment))


def _differs(wanted: Any, found: Any) -> bool:
    if isinstance(wanted, Mapping):
        return not isinstance(found, Mapping) or any(
            _differs(value, found.get(key)) for key, value in wanted.items()
        )
    return str(wanted).rstrip("/").lower() != str(found).rstrip("/").lower()


def _ground(live: CurrentState, wanted: DesiredState) -> list[Step]:
    """What all apps stand on: resource group, storage account, the right to write to it, the
    packages' container."""
    account, tags = live.names.account, dict(wanted.tags)
    place = {"location": wanted.location, "tags": tags}
    steps = [Step(Action.REUSE, "resource group", live.names.group)]
    if live.group is None:
        steps = [Step(Action.CREATE, "resource group", live.names.group, "group", place)]
    if live.account is None or live.account.state == "Failed":
        steps.append(Step(Action.CREATE, "storage account", account, "account", place))
    else:
        steps.append(_reuse_or_settle("storage account", account, live.account.state))
    if live.account_is_ours:
        steps.append(
            unless(
                live.uploader, "role assignment", "signed-in user", "uploader", {"account": account}
            )
        )
    there = PACKAGES in live.containers
    return [*steps, unless(there, "container", PACKAGES, "container", {"account": account})]


def _package(live: CurrentState, sha256: str, python: str) -> list[Step]:
    there = live.packages is not None and sha256 in live.packages
    facts = {
        "account": live.names.account,
        "sha256": sha256,
        "python": python,
        "patient": live.account_is_ours,
    }
    return [unless(there, "package", sha256[:12], "upload", facts)]


def _side(
    side: AppState, live: CurrentState, wanted: DesiredState, python: str | None
) -> list[Step]:
    """An app with its plan, container and role. Without `python` an app that is there is not
    changed."""
    account, place = live.names.account, {"location": wanted.location, "tags": dict(wanted.tags)}
    plan, there = farm(side.name), side.farm is not None and side.farm.state != "Failed"
    steps = [unless(there, "plan", plan, "farm", place)]
    if side.farm and side.farm.state in _PENDING:
        steps = [_settle("plan", plan, side.farm.state)]
    steps.append(
        unless(side.container, "container", container(side.name), "container", {"account": account})
    )
    steps += _app(side, live, wanted, python)
    return [
        *steps,
        unless(
            side.role, "role assignment", side.name, "role", {"account": account, "app": side.name}
        ),
    ]


def _app(
    side: AppState, live: CurrentState, wanted: DesiredState, python: str | None
) -> list[Step]:
    facts: dict[str, Any] = {"location": wanted.location, "tags": dict(wanted.tags)}
    settings = {
        "AzureWebJobsStorage__accountName": live.names.account,
        "AzureWebJobsStorage__credential": "managedidentity",
        **environment.settings(wanted.environment),
    }
    if side.app is None:
        facts |= {"settings": settings, "config": wanted.config(side.name, python or "")}
        return [Step(Action.CREATE, "app", side.name, "app", facts)]
    steps = [_settle("app", side.name, side.app.state)] if side.app.state in _PENDING else []
    config = wanted.config(side.name, python or _python(side))
    if side.app.state == "Failed" or (python and drift(side, config)):
        facts |= {"settings": settings, "config": _laid_over(side.app.config, config)}
        steps.append(Step(Action.UPDATE, "app", side.name, "app", facts))
    if python and side.app.state != "Failed":
        steps += _environment(side, wanted)
    return steps or [Step(Action.REUSE, "app", side.name)]


def _environment(side: AppState, wanted: DesiredState) -> list[Step]:
    changes = environment.change(side.settings, wanted.environment)
    return (
        [Step(Action.UPDATE, "environment of app", side.name, "environment", changes)]
        if changes
        else []
    )


def _update(live: CurrentState, wanted: DesiredState, sha256: str, python: str) -> list[Step]:
    """Prove the package on the candidate, unless it has proved itself on the app before, and give
    it to the app."""
    main, candidate = live.main, live.candidate
    config = wanted.config(main.name, python)
    steps = []
    if main.version != sha256 or _strays(main, config, wanted):
        steps = [*_side(candidate, live, wanted, python), *_publish(candidate.name, sha256)]
        steps += _proof(candidate.name, sha256)
    before = main.previous if main.version == sha256 else main.version
    return [
        *steps,
        _promote(main, sha256, config, wanted.environment),
        *_proof(main.name, sha256),
        _record(main.name, sha256, before),
    ]


def _publish(app: str, sha256: str) -> list[Step]:
    return [Step(Action.UPDATE, "package of app", app, "publish", {"sha256": sha256})]


def _promote(
    main: AppState, sha256: str, config: Mapping[str, Any], variables: Mapping[str, str] | None
) -> Step:
    """Publish to the app that serves, with its environment unless `variables` is None; the way back
    is to publish what served, with its configuration and the settings that were there."""
    now = dict(main.app.config) if main.app else {}
    changes: dict[str, Any] = {"config": _laid_over(now, config)} if drift(main, config) else {}
    back = {
        "sha256": main.version,
        "previous": main.previous,
        **({"config": now} if changes else {}),
    }
    if variables is not None and (differ := environment.change(main.settings, variables)):
        changes, back = {"environment": differ, **changes}, {**back, "settings": "as they were"}
    restore = Step(Action.UPDATE, "package of app", main.name, "restore", back)
    return Step(
        Action.UPDATE,
        "package of app",
        main.name,
        "promote",
        {"sha256": sha256, **changes},
        restore,
    )


def _laid_over(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`found` with what `wanted` says: what a user set beside, such as instances that are always
    ready, stays."""
    both = {
        key: _laid_over(found.get(key) or {}, value)
        for key, value in wanted.items()
        if isinstance(value, Mapping)
    }
    return {**found, **wanted, **both}


def _proof(app: str, sha256: str) -> list[Step]:
    return [
        Step(Action.CHECK, "health of app", app, "healthy"),
        Step(Action.CHECK, "golden request to app", app, "smoke", {"sha256": sha256}, settles=True),
    ]


def _record(app: str, sha256: str, previous: str) -> Step:
    facts = {"version": sha256, "previous": previous}
    return Step(Action.UPDATE, "tags of app", app, "record", facts)


def _python(side: AppState) -> str:
    return str((side.app.config.get("runtime") or {}).get("version", "")) if side.app else ""


def _tidy(live: CurrentState, keep: set[str], *, made_candidate: bool) -> list[Step]:
    """Delete the candidate, and the packages that neither serve nor are the previous one."""
    old = sorted(set(live.packages or {}) - keep)
    steps = (
        remove(live.candidate, live, certainly=made_candidate)
        if made_candidate or live.candidate.exists
        else []
    )
    return [*steps, *(_unpack(live, sha256) for sha256 in old)]


def _unpack(live: CurrentState, sha256: str) -> Step:
    return Step(
        Action.DELETE,
        "package",
        sha256[:12],
        "delete_package",
        {"account": live.names.account, "sha256": sha256},
    )


def remove(side: AppState, live: CurrentState, *, certainly: bool = False) -> list[Step]:
    """Delete an app and what it stands on, as far as it is there; all of it `certainly` when the
    plan made it."""
    name, account = side.name, {"account": live.names.account}
    rows = [
        (side.app is not None, "role assignment", name, "delete_roles", account),
        (side.app is not None, "app", name, "delete_app", {}),
        (side.farm is not None, "plan", farm(name), "delete_farm", {}),
        (side.container, "container", container(name), "delete_container", account),
    ]
    return [
        Step(Action.DELETE, kind, what, op, facts)
        for there, kind, what, op, facts in rows
        if there or certainly
    ]


def _reuse_or_settle(kind: str, name: str, state: str) -> Step:
    return _settle(kind, name, state) if state in _PENDING else Step(Action.REUSE, kind, name)


def _settle(kind: str, name: str, state: str) -> Step:
    return Step(Action.CHECK, kind, name, "settle", {"kind": kind, "state": state})

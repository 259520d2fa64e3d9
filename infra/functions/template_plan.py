"""The plan that deploys an app's template over what is there, previewed by Azure; and what of that
stays: the tags that `deploy` keeps, and settings of others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from onnxferry.infra.clients.azure_roles import BLOB_CONTRIBUTOR, Principal
from onnxferry.infra.functions.app_config import app_changes
from onnxferry.infra.functions.app_settings import CONNECTION, setting_changes
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import KEYS, MADE, PACKAGES, Names
from onnxferry.infra.functions.prerequisites import access, retag
from onnxferry.infra.functions.state import CurrentState
from onnxferry.infra.functions.tags import given_tags, tag_changes
from onnxferry.infra.functions.template_resources import SETTINGS, SIGN_IN
from onnxferry.infra.plan import Action, Plan, Step, Summary, unless
from onnxferry.infra.templates import deploying, what_if
from onnxferry.infra.templates.arm import Template
from onnxferry.infra.templates.deploying import PURPOSE, Preview, deployment_name

_RECOMPUTED = (MADE, KEYS)
_UNASKED = "resource group {} is not there yet, so Azure was not asked what would change"


def kept_tags(state: CurrentState, desired: DesiredState) -> dict[str, dict[str, str]]:
    """What the resources have in tags, or metadata, that the template does not set itself, but for
    what has left deploy.toml."""
    app = state.main
    tags = {
        "account": state.account.tags if state.account else {},
        "workspace": state.workspace.tags if state.workspace else {},
        "component": state.component.tags if state.component else {},
        "plan": app.plan.tags if app.plan else {},
        "app": app.app.tags if app.app else {},
    }
    kept = {key: _without_ours(found, desired.tags) for key, found in tags.items()}
    metadata = {"packages": state.container or {}, "container": app.container or {}}
    return kept | {
        key: {name: value for name, value in found.items() if name != MADE}
        for key, found in metadata.items()
    }


def _without_ours(found: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    ours = {name.lower() for name in (*given_tags(given), *_RECOMPUTED)}
    gone = tag_changes(found, given).get("remove", {})
    return {k: v for k, v in found.items() if k.lower() not in ours and k not in gone}


def values(names: Names, uploader: Principal | None) -> dict[str, Any]:
    """The parameters of a deployment that no default value says."""
    if names.given_account or uploader is None:
        return {}
    return {"uploader": uploader.id, "uploaderType": uploader.kind}


def template_plan(
    state: CurrentState,
    desired: DesiredState,
    template: Template,
    given: Mapping[str, Any],
    preview: Preview,
) -> Plan:
    """The steps that deploy `template` with the parameters `given`."""
    names, deployment = state.names, deployment_name(state.names.app)
    tags = {name: value for name, value in desired.place["tags"].items() if value}
    place = {"location": desired.location, "tags": tags}
    group = unless(bool(state.group), "resource group", names.group, "create_group", place)
    first = [group, *_opened(state, deployment, preview)]
    tagged = [s for s in retag(state, desired) if s.resource == "tags of resource group"]
    found = list(
        _with_settings(what_if.steps(template, deployment, preview.changes), state, desired)
    )
    facts: dict[str, Any] = {"template": template.document, "values": dict(given)}
    # what opens Application Insights is known when it is there, and in no plan
    facts["environment"] = {k: "" if k == CONNECTION else v for k, v in desired.environment.items()}
    steps = [*first, *tagged, *deploying.steps(deployment, found, facts)]
    unasked = [] if state.group else [_UNASKED.format(names.group)]
    notes = (*what_if.lines(found), *unasked)
    where = f"resource group {names.group}, {desired.location}"
    summary = Summary(where, minutes=(1, 6), notes=notes)
    return Plan("functions", PURPOSE, names.app, tuple(steps), summary, len(first))


def _opened(state: CurrentState, deployment: str, preview: Preview) -> list[Step]:
    """What the lease needs, where its place is there; or may be, once an earlier deployment has
    come to its end."""
    if not preview.at_work:
        return access(state) if PACKAGES in state.containers else []
    wait = deploying.awaited(deployment)
    if not state.account_is_ours:
        return [wait]
    name, role = state.names.account, {"role": BLOB_CONTRIBUTOR, "scope": state.names.account_id}
    return [wait, Step(Action.CHECK, "packages in storage account", name, "open_packages", role)]


def _with_settings(
    found: Sequence[Step], state: CurrentState, desired: DesiredState
) -> Iterator[Step]:
    """Azure does not tell how an app's settings and its sign-in change: that is known here."""
    asked = app_changes(state.main, desired).get("sign_in")
    known = {
        SETTINGS: list(_named(setting_changes(state.main.settings, desired.environment))),
        SIGN_IN: [{"path": "authsettingsV2", "after": "as deploy.toml says"}] if asked else [],
    }
    for step in found:
        facts = {k: v for k, v in step.parameters.items() if k != "reason"}
        if step.resource not in known:
            yield step
        elif state.main.app is None:
            yield replace(step, action=Action.CREATE, parameters=facts)
        elif names := known[step.resource]:
            yield replace(step, action=Action.UPDATE, parameters={**facts, "changes": names})
        else:
            yield Step(Action.REUSE, step.resource, step.name)


def _named(changes: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """Settings by their names: values may be secrets."""
    yield from ({"path": n, "after": "as deploy.toml says"} for n in changes.get("set", ()))
    for key, word in (("remove", "ours"), ("put_back", "ours, and the user's again")):
        yield from ({"path": name, "before": word} for name in changes.get(key, ()))

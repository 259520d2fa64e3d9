"""Where an app differs from what deploy.toml says, as the changes that make it so, and those that
undo them.

Changes are JSON data: `config` is the whole functionAppConfig, `subnet` the id to join ("" leaves),
`attach` an identity and `detach` others, `tags` those to set, `sign_in` settings that ask callers
for a token. `sign_off` are settings that no longer ask, for the end: until then, what else opens
the functions must hold.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from onnxferry.infra.functions import given_keys, sign_in
from onnxferry.infra.functions.app_settings import setting_changes
from onnxferry.infra.functions.comparison import differs, merged
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.names import KEYS
from onnxferry.infra.functions.state import AppState

OFF = "sign_off"


def strays(app: AppState, desired: DesiredState) -> bool:
    """Whether the app differs from what deploy.toml says."""
    return bool(setting_changes(app.settings, desired.environment) or app_changes(app, desired))


def app_changes(app: AppState, desired: DesiredState) -> dict[str, Any]:
    """How the app becomes what deploy.toml says; {} where it is so."""
    if app.app is None:
        return {}
    found: dict[str, Any] = config_change(app, desired.config(app.name))
    found |= _network(app, desired) | _identities(app, desired) | _sign_in(app, desired)
    if app.tag(KEYS) != (tag := given_keys.text(desired.keys)):
        found["tags"] = {KEYS: tag}
    return found


def config_change(app: AppState, config: Mapping[str, Any]) -> dict[str, Any]:
    """The change of the app's functionAppConfig where a value that `config` sets differs."""
    now = app.app.config if app.app else {}
    return {"config": merged(now, config)} if differs(config, now) else {}


def undone(app: AppState, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes that undo `changes` of the app as it is now."""
    if app.app is None:
        return {}
    back: dict[str, Any] = {}
    if "config" in changes:
        back["config"] = merged(app.app.config, {"scaleAndConcurrency": {}})
    if "subnet" in changes:
        back["subnet"] = app.app.subnet
    back["attach"] = [*changes.get("detach", ())]
    back["detach"] = [*_absent(changes.get("attach", ()), app.app.identities)]
    if "tags" in changes:
        back["tags"] = {name: app.tag(name) for name in changes["tags"]}
    if "sign_in" in changes or OFF in changes:
        asked = sign_in.asks(app.sign_in)
        back["sign_in" if asked else OFF] = dict(app.sign_in) if asked else sign_in.off(app.sign_in)
    return {key: value for key, value in back.items() if value or key == "subnet"}


def until_the_end(app: AppState, changes: Mapping[str, Any]) -> dict[str, Any]:
    """`changes` without `sign_off`; while callers are asked for a token, the tag says so."""
    if OFF not in changes:
        return dict(changes)
    keys = {**given_keys.read(changes["tags"][KEYS]), given_keys.AUTH: given_keys.ENTRA}
    kept = {key: value for key, value in changes.items() if key != OFF}
    return {**kept, "tags": {KEYS: given_keys.text(keys)}}


def _network(app: AppState, desired: DesiredState) -> dict[str, Any]:
    now, ours = app.app.subnet if app.app else "", app.keys.get(given_keys.SUBNET)
    if desired.subnet:
        same = now.lower() == desired.subnet.lower()
        return {} if same else {"subnet": desired.subnet}
    return {"subnet": ""} if now and given_keys.mark(now) == ours else {}


def _identities(app: AppState, desired: DesiredState) -> dict[str, Any]:
    now, ours = app.app.identities if app.app else (), app.keys.get(given_keys.IDENTITY)
    wanted = [desired.identity.id] if desired.identity else []
    attach = _absent(wanted, now)
    detach = [one for one in _absent(now, wanted) if given_keys.mark(one) == ours]
    return {key: ids for key, ids in (("attach", attach), ("detach", detach)) if ids}


def _absent(ids: Iterable[str], among: Iterable[str]) -> list[str]:
    there = {one.lower() for one in among}
    return [one for one in ids if one.lower() not in there]


def _sign_in(app: AppState, desired: DesiredState) -> dict[str, Any]:
    """Sign-in that a user asks callers for stays, and so does what else is in its settings."""
    if desired.sign_in:
        wanted = {"sign_in": merged(app.sign_in, desired.sign_in)}
        return wanted if differs(desired.sign_in, app.sign_in) else {}
    ours = app.keys.get(given_keys.AUTH) == given_keys.ENTRA
    return {OFF: sign_in.off(app.sign_in)} if ours and sign_in.asks(app.sign_in) else {}

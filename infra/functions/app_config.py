"""Where an app differs from what deploy.toml says, and its functionAppConfig with what differs
changed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.functions.app_settings import setting_changes
from onnxferry.infra.functions.desired import DesiredState
from onnxferry.infra.functions.state import AppState


def strays(app: AppState, desired: DesiredState) -> bool:
    """Whether the app differs from what deploy.toml says."""
    changes = setting_changes(app.settings, desired.environment)
    return bool(changes) or drifts(app, desired.config(app.name), desired.scaled)


def drifts(app: AppState, config: Mapping[str, Any], scaled: str | None = None) -> bool:
    """Whether the app's functionAppConfig differs in a value that `config` sets, or what is
    remembered of it."""
    if app.app is None:
        return False
    return _differs(config, app.app.config) or scaled not in (None, app.scaled)


def _differs(desired: Any, found: Any) -> bool:
    if isinstance(desired, Mapping):
        return not isinstance(found, Mapping) or any(
            _differs(value, found.get(key)) for key, value in desired.items()
        )
    if desired is None:
        return bool(found)
    return str(desired).rstrip("/").lower() != str(found).rstrip("/").lower()


def merged(found: Mapping[str, Any], desired: Mapping[str, Any]) -> dict[str, Any]:
    """`found` with what `desired` says: what a user set beside, such as instances that are always
    ready, stays. What shall be None is left out, which gives it back to the platform."""
    both = {
        key: merged(found.get(key) or {}, value)
        for key, value in desired.items()
        if isinstance(value, Mapping)
    }
    return {key: v for key, v in {**found, **desired, **both}.items() if v is not None}

"""The app's environment variables, which Azure calls app settings: which of them are ours, and what
becomes of them.

They stand beside those that the user and the platform have set, which stay and may be secrets: no
plan holds them. One more setting keeps the names of ours, so that a variable that is taken out of
deploy.toml goes from the app too.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RECORD = "ONNXFERRY_ENVIRONMENT"  # its value: the names, separated by spaces


def settings(environment: Mapping[str, str]) -> dict[str, str]:
    """The app settings for `environment`: the variables, and the names of them."""
    return {**environment, RECORD: " ".join(sorted(environment))} if environment else {}


def change(found: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, Any]:
    """What to set and to remove, that of `found` become those of `environment`; {} when they
    are."""
    wanted = settings(environment)
    differ = {name: value for name, value in wanted.items() if found.get(name) != value}
    gone = [
        name
        for name in (*found.get(RECORD, "").split(), RECORD)
        if name in found and name not in wanted
    ]
    changes = {"set": differ, "remove": gone}
    return {key: value for key, value in changes.items() if value}


def changed(found: Mapping[str, str], changes: Mapping[str, Any]) -> dict[str, str]:
    """All settings of the app, once `changes` (see `change`) are made."""
    kept = {name: value for name, value in found.items() if name not in changes.get("remove", ())}
    return {**kept, **changes.get("set", {})}

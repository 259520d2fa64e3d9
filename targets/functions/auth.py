"""Who may call the app: the level of authorization that the Functions host holds it to."""

from __future__ import annotations

from collections.abc import Mapping

import azure.functions as func

SETTING = "ONNXFERRY_FUNCTIONS_AUTH"
LEVELS = {"function": func.AuthLevel.FUNCTION, "anonymous": func.AuthLevel.ANONYMOUS}


def auth_level(environment: Mapping[str, str]) -> func.AuthLevel:
    """The level by SETTING, by default "function": a function key. Raises ValueError, by which no
    function is served, for what is no level."""
    given = environment.get(SETTING, "function")
    if given not in LEVELS:
        known = " or ".join(LEVELS)
        raise ValueError(f"the app setting {SETTING} must be {known}, got '{given[:40]}'")
    return LEVELS[given]

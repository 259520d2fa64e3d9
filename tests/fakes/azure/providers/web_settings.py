"""An app's settings at the resource manager: listed by a POST, and replaced, all of them, by a
PUT."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from tests.fakes.azure.arm import missing
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.providers.web_shapes import FORBIDDEN


def in_body(site: Mapping[str, Any]) -> dict[str, str]:
    """The settings in the body of a PUT of an app."""
    found = (site.get("properties") or {}).get("siteConfig") or {}
    return {one["name"]: one["value"] for one in found.get("appSettings") or ()}


def routes(
    fake: AzureFake,
    site: str,
    settings: Callable[[str], dict[str, str]],
    put: Callable[[str, Mapping[str, str]], None],
) -> tuple[Route, ...]:
    """Below `site`, the pattern of an app's path; `settings` gives those of the app of a name, and
    `put` replaces them."""

    def listed(call: Call, match: re.Match[str]) -> Answer:
        found = fake.store.get(match["site"])
        if refusal := fake.arm.refuse(call):
            return refusal
        return Answer(200, {"properties": settings(match["name"])}) if found else missing(call.path)

    def replaced(call: Call, match: re.Match[str]) -> Answer:
        found = fake.store.get(match["site"])
        if refusal := fake.arm.refuse(call):
            return refusal
        if found is None:
            return missing(match["site"])
        values = call.json["properties"]
        if wrong := set(values) & FORBIDDEN:
            return error(400, "BadRequest", f"not allowed on Flex Consumption: {sorted(wrong)}")
        put(match["name"], values)
        return Answer(200, {"properties": values})

    return (
        Route("POST", site + "/config/appsettings/list", listed),
        Route("PUT", site + "/config/appsettings", replaced),
    )

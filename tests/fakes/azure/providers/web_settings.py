"""An app's settings at the resource manager: listed by a POST, and replaced, all of them, by a
PUT."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tests.fakes.azure.arm import missing
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.providers.web_shapes import FORBIDDEN
from tests.fakes.azure.store import Resource


def settings(site: Resource | None) -> dict[str, str]:
    """The settings of an app, which are its process's environment variables."""
    found = ((site or {}).get("properties") or {}).get("siteConfig") or {}
    return {one["name"]: one["value"] for one in found.get("appSettings") or ()}


def put(site: Resource, values: Mapping[str, str]) -> None:
    config = site["properties"].setdefault("siteConfig", {})
    config["appSettings"] = [{"name": name, "value": value} for name, value in values.items()]


def routes(fake: AzureFake, site: str, restart: Callable[[str], None]) -> tuple[Route, ...]:
    """Below `site`, the pattern of an app's path; `restart` is told the app whose settings have
    changed."""

    def listed(call: Call, match: re.Match[str]) -> Answer:
        found = fake.store.get(match["site"])
        if refusal := fake.arm.refuse(call):
            return refusal
        return Answer(200, {"properties": settings(found)}) if found else missing(match["site"])

    def replaced(call: Call, match: re.Match[str]) -> Answer:
        found = fake.store.get(match["site"])
        if refusal := fake.arm.refuse(call):
            return refusal
        if found is None:
            return missing(match["site"])
        values = call.json["properties"]
        if wrong := set(values) & FORBIDDEN:
            return error(400, "BadRequest", f"not allowed on Flex Consumption: {sorted(wrong)}")
        put(found, values)
        restart(match["name"].lower())
        return Answer(200, {"properties": values})

    return (
        Route("POST", site + "/config/appsettings/list", listed),
        Route("PUT", site + "/config/appsettings", replaced),
    )

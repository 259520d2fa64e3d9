"""Resource groups, what is in them, and the tags of any resource."""

from __future__ import annotations

import re

from tests.fakes.azure.arm import ResourceType, missing
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.shapes import ANY, NEEDED

TYPES = (
    ResourceType(
        "Microsoft.Resources/resourceGroups",
        {"location": NEEDED, "tags": ANY},
        deletes_slowly=True,
        location=True,
    ),
)


def routes(fake: AzureFake) -> tuple[Route, ...]:
    """What the resource manager answers itself, for resources of all types."""

    def resources(call: Call, match: re.Match[str]) -> Answer:
        if refusal := fake.arm.refuse(call):
            return refusal
        group = f"{match['group'].lower()}/providers/"
        found = [r for r in fake.store.everything() if r["id"].lower().startswith(group)]
        top = [
            r
            for r in found
            if r["type"].count("/") == 1 and "roleassignments" not in r["type"].lower()
        ]
        return Answer(200, {"value": top})

    def tag(call: Call, match: re.Match[str]) -> Answer:
        if refusal := fake.arm.refuse(call):
            return refusal
        found, patch = fake.store.get(match["id"]), call.json
        if found is None:
            return missing(match["id"])
        if set(patch) != {"operation", "properties"} or patch["operation"] != "Merge":
            return error(400, "InvalidRequestContent", f"tags: {sorted(patch)}")
        found["tags"] = {**(found.get("tags") or {}), **patch["properties"]["tags"]}
        return Answer(200, {"properties": {"tags": found["tags"]}})

    return (
        Route("GET", r"(?P<group>/subscriptions/[^/]+/resourcegroups/[^/]+)/resources", resources),
        Route(
            "PATCH", r"(?P<id>/subscriptions/.+)/providers/Microsoft\.Resources/tags/default", tag
        ),
    )

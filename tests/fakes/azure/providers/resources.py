"""Resource groups, what is in them, and the tags of any resource."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from tests.fakes.azure.arm import ResourceType, missing
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error, paged
from tests.fakes.azure.shapes import ANY, NEEDED
from tests.fakes.azure.store import Resource

TYPES = (
    ResourceType(
        "Microsoft.Resources/resourceGroups",
        {"location": NEEDED, "tags": ANY},
        deletes_slowly=True,
        location=True,
    ),
)


PAGE = 50  # resources that one answer lists
_FILTER = re.compile(r"tagName eq '(?P<name>[^']*)'(?: and tagValue eq '(?P<value>[^']*)')?")
_LISTED = ("id", "name", "type", "location", "tags", "kind", "sku")


def routes(fake: AzureFake) -> tuple[Route, ...]:
    """What the resource manager answers itself, for resources of all types. A list has the
    resources that have a place, also below others, and of each not what its service knows of it."""

    def resources(call: Call, match: re.Match[str]) -> Answer:
        if refusal := fake.arm.refuse(call):
            return refusal
        below = f"{match['scope'].lower()}/"
        found = [r for r in fake.store.everything() if r["id"].lower().startswith(below)]
        placed = [r for r in found if "/providers/" in r["id"] and "location" in r]
        return _filtered(call, placed)

    def groups(call: Call, match: re.Match[str]) -> Answer:
        if refusal := fake.arm.refuse(call):
            return refusal
        return _filtered(call, list(fake.store.all("Microsoft.Resources/resourceGroups")))

    def tag(call: Call, match: re.Match[str]) -> Answer:
        if refusal := fake.arm.refuse(call):
            return refusal
        found, patch = fake.store.get(match["id"]), call.json
        if found is None:
            return missing(match["id"])
        if call.method == "PUT":
            found["tags"] = dict(patch["properties"]["tags"])
        elif set(patch) != {"operation", "properties"}:
            return error(400, "InvalidRequestContent", f"tags: {sorted(patch)}")
        elif patch["operation"] in _CHANGES:
            change = _CHANGES[patch["operation"]]
            found["tags"] = change(found.get("tags") or {}, patch["properties"]["tags"])
        else:
            return error(400, "InvalidTagPatchOperation", f"{patch['operation']}")
        return Answer(200, {"properties": {"tags": found["tags"]}})

    return (
        Route("GET", r"(?P<scope>/subscriptions/[^/]+/resourcegroups/[^/]+)/resources", resources),
        Route("GET", r"(?P<scope>/subscriptions/[^/]+)/resources", resources),
        Route("GET", r"/subscriptions/[^/]+/resourcegroups", groups),
        Route(
            "PUT PATCH",
            r"(?P<id>/subscriptions/.+)/providers/Microsoft\.Resources/tags/default",
            tag,
        ),
    )


def _filtered(call: Call, found: list[Resource]) -> Answer:
    """The page that was asked for of what has the tag of the filter; a tag's name counts in any
    case."""
    text = call.query.get("$filter")
    asked = _FILTER.fullmatch(text) if text else None
    if text and not asked:
        return error(400, "InvalidFilterInQueryString", f"Invalid $filter '{text}'.")
    states = "provisioningState" in call.query.get("$expand", "")
    rows = [
        {key: r[key] for key in _LISTED if key in r} | (_state(r) if states else {})
        for r in found
        if not asked or _has(r, asked["name"], asked["value"])
    ]
    return paged(call, rows, PAGE)


def _state(resource: Resource) -> dict[str, str]:
    return {"provisioningState": (resource.get("properties") or {}).get("provisioningState", "")}


def _has(resource: Resource, name: str, value: str | None) -> bool:
    tags = {key.lower(): said for key, said in (resource.get("tags") or {}).items()}
    return name.lower() in tags and value in (None, tags[name.lower()])


def _without(tags: Mapping[str, str], gone: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in tags.items() if gone.get(key) != value}


_CHANGES: Mapping[str, Callable[[Mapping[str, str], Mapping[str, str]], dict[str, str]]] = {
    "Merge": lambda old, new: {**old, **new},
    "Replace": lambda old, new: dict(new),
    "Delete": _without,
}

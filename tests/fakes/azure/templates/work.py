"""A deployment on its way: how far it is with each resource, and what is told of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.http import Call
from tests.fakes.azure.templates.template import Parsed, Planned


@dataclass
class Work:
    """One resource of a deployment on its way: its operation's `state`, the `call` by which it is
    made, and where that is `polled`."""

    planned: Planned
    state: str = "NotStarted"
    polled: str = ""
    location: bool = False
    error: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class FakeDeployment:
    """A deployment, and by which call it was begun."""

    id: str
    call: Call
    found: Parsed
    work: list[Work]
    state: str = "Accepted"
    error: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Any] = field(default_factory=dict)


def ready(deployment: FakeDeployment) -> list[Work]:
    """What can be begun: all that it depends on is there."""
    done = {w.planned.id.lower() for w in deployment.work if w.state == "Succeeded"}
    there = done | set(deployment.found.left_out)
    return [
        work
        for work in deployment.work
        if work.state == "NotStarted" and set(work.planned.after) <= there
    ]


def told(found: FakeDeployment) -> Iterator[dict[str, Any]]:
    """Its operations, as the resource manager lists them."""
    for work in found.work:
        if work.state == "NotStarted":
            continue
        one = work.planned
        target = {"id": one.id, "resourceType": one.type, "resourceName": one.id.rsplit("/")[-1]}
        facts: dict[str, Any] = {
            "provisioningOperation": "Create",
            "provisioningState": work.state,
            "statusCode": "BadRequest" if work.error else "OK",
            "targetResource": target,
        }
        if work.error:
            facts["statusMessage"] = {"status": "Failed", "error": work.error}
        yield {"id": f"{found.id}/operations/x", "operationId": "x", "properties": facts}


def shown(found: FakeDeployment) -> dict[str, Any]:
    """The deployment, as a GET shows it."""
    facts: dict[str, Any] = {"provisioningState": found.state, "mode": "Incremental"}
    if found.error:
        facts["error"] = found.error
    if found.outputs:
        facts["outputs"] = found.outputs
    name = found.id.rpartition("/")[2]
    return {
        "id": found.id,
        "name": name,
        "type": "Microsoft.Resources/deployments",
        "properties": facts,
    }

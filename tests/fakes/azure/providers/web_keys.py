"""The keys of function apps: the host keys, which open the functions, can be renewed and made."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from dataclasses import dataclass, field

from tests.fakes.azure.http import Answer, Call, error


@dataclass
class HostKeys:
    """By app and name. Each app has the host key "default", and a master key."""

    made: dict[str, dict[str, str]] = field(default_factory=dict)

    def of(self, app: str) -> dict[str, str]:
        """The host keys of an app."""
        first = f"function-key-of-{app.lower()}-never-to-be-printed"
        return self.made.setdefault(app.lower(), {"default": first})

    def opening(self, app: str) -> Collection[str]:
        """The values that open its functions."""
        return self.of(app).values()

    def put(self, call: Call, app: str) -> Answer:
        """Set a host key to the body's value, which without one is new; the old one is refused."""
        name, body = call.path.rpartition("/")[2], call.json.get("properties")
        if body is None or body.get("name") != name:
            return error(400, "BadRequest", "the key's name is not that of the path")
        there = self.of(app)
        status = 200 if name in there else 201
        there[name] = body.get("value") or f"{uuid.uuid4().hex}-never-to-be-printed"
        return Answer(status, {"properties": {"name": name, "value": there[name]}})

"""Sign-in before an app (authsettingsV2): read and replaced at the resource manager, and asked for
at the app's own host."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.arm import missing
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import is_for
from tests.fakes.azure.providers.web_shapes import SIGN_IN
from tests.fakes.azure.shapes import complaints

TYPE = "Microsoft.Web/sites/config"
_DEFAULT = {
    "platform": {"enabled": False, "runtimeVersion": "~1"},
    "globalValidation": {
        "requireAuthentication": False,
        "unauthenticatedClientAction": "RedirectToLoginPage",
    },
    "identityProviders": {},
}


@dataclass
class FakeSignIn:
    """The settings of each app by its name in lower case. `changed` is told of each change."""

    fake: AzureFake
    changed: Callable[[str], None]
    settings: dict[str, dict[str, Any]] = field(default_factory=dict)

    def routes(self, site: str) -> tuple[Route, ...]:
        """Below `site`, the pattern of an app's path."""
        path = site + "/config/authsettingsV2"
        return (Route("GET", path, self._read), Route("PUT", path, self._replaced))

    def of(self, app: str) -> dict[str, Any]:
        return copy.deepcopy(self.settings.get(app.lower(), _DEFAULT))

    def asks(self, app: str) -> bool:
        """Whether its host asks each caller for a token."""
        found = self.of(app)
        required = found.get("globalValidation", {}).get("requireAuthentication")
        return bool(found["platform"]["enabled"] and required)

    def refuses(self, call: Call, app: str) -> bool:
        """Whether the call is not let through to the functions."""
        found = self.of(app)
        if not self.asks(app) or call.path in found["globalValidation"].get("excludedPaths", ()):
            return False
        directory = found["identityProviders"].get("azureActiveDirectory") or {}
        registration = directory.get("registration") or {"clientId": "", "openIdIssuer": ""}
        allowed = (directory.get("validation") or {}).get("allowedAudiences") or []
        return not is_for(call, registration["openIdIssuer"], [*allowed, registration["clientId"]])

    def _read(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.fake.arm.refuse(call):
            return refusal
        if self.fake.store.get(match["site"]) is None:
            return missing(match["site"])
        return self._answer(match)

    def _replaced(self, call: Call, match: re.Match[str]) -> Answer:
        if refusal := self.fake.arm.refuse(call):
            return refusal
        if self.fake.store.get(match["site"]) is None:
            return missing(match["site"])
        self.fake.arm.puts.append((call.query["api-version"], TYPE, call.json))
        if wrong := list(complaints(call.json, SIGN_IN)):
            return error(400, "BadRequest", f"authsettingsV2: {'; '.join(wrong)}")
        self.settings[match["name"].lower()] = copy.deepcopy(call.json["properties"])
        self.changed(match["name"])
        return self._answer(match)

    def _answer(self, match: re.Match[str]) -> Answer:
        found = {"name": "authsettingsV2", "type": TYPE, "properties": self.of(match["name"])}
        return Answer(200, {"id": f"{match['site']}/config/authsettingsV2", **found})

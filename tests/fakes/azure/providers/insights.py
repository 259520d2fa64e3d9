"""Application Insights components and Log Analytics workspaces: at the resource manager, where a
component takes what an app sends, and where a workspace is asked.

Nothing comes from an app without a right to send: a component with local authentication disabled
takes only what an identity with the role sends. The query language is known as far as the shape of
one query: tables that exist, or not, some apps, the last rows, columns that exist.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.fake import AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import now, signed_in
from tests.fakes.azure.providers.authorization import scope_of
from tests.fakes.azure.providers.given import identities
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource

WORKSPACES, COMPONENTS = "Microsoft.OperationalInsights/workspaces", "Microsoft.Insights/components"
PUBLISHER = "3913510d-42f4-4e42-8a64-420c390055eb"
_WORKSPACE = {
    "location": NEEDED,
    "tags": ANY,
    "properties": {"sku": {"name": NEEDED}, "retentionInDays": MAY},
}
_COMPONENT = {
    "location": NEEDED,
    "kind": NEEDED,
    "tags": ANY,
    "properties": {
        NEEDED: True,
        "Application_Type": NEEDED,
        "WorkspaceResourceId": NEEDED,
        "DisableLocalAuth": MAY,
    },
}
_ALL = {"TimeGenerated", "AppRoleName", "AppRoleInstance", "OperationName", "SeverityLevel"}
_TABLES = {
    "AppTraces": _ALL | {"Message"},
    "AppExceptions": _ALL | {"ExceptionType", "OuterMessage", "InnermostMessage", "Details"},
    "AppRequests": _ALL | {"Name", "ResultCode", "DurationMs"},
}
_QUERY = re.compile(
    r"union isfuzzy=true (?P<tables>\w+(?:, \w+)*)"
    r" \| where AppRoleName in~ \((?P<roles>'[\w-]+'(?:, '[\w-]+')*)\)"
    r" \| top (?P<top>\d+) by TimeGenerated desc"
    r" \| project (?P<columns>\w+(?:, \w+)*)"
)


@dataclass
class FakeInsights:
    """`rows` are (customer id of the workspace, table, columns), the latest at the end."""

    fake: AzureFake
    rows: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)

    @property
    def types(self) -> tuple[ResourceType, ...]:
        return (
            ResourceType(WORKSPACES, _WORKSPACE, slow=True, fill=self._fill_workspace),
            ResourceType(
                COMPONENTS,
                _COMPONENT,
                created=200,
                check=self._check,
                fill=self._fill,
                replaces=True,
            ),
            # what the platform makes beside a component, and never takes away
            ResourceType("microsoft.alertsManagement/smartDetectorAlertRules", {}),
            ResourceType("microsoft.insights/actionGroups", {}),
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        return (Route("POST", r"/v1/workspaces/(?P<id>[^/]+)/query", self._query),)

    def take(
        self, app: Resource, settings: Mapping[str, str], table: str, columns: Mapping[str, Any]
    ) -> None:
        """What an app with these settings sends; nothing comes where it has no right to."""
        connection = settings.get("APPLICATIONINSIGHTS_CONNECTION_STRING")
        for component in self.fake.store.all(COMPONENTS):
            facts = component["properties"]
            if facts.get("ConnectionString") != connection:
                continue
            workspace = self.fake.store.get(facts["WorkspaceResourceId"]) or {"properties": {}}
            if facts.get("DisableLocalAuth") and not self._allowed(app, settings, component):
                continue
            row = {"TimeGenerated": now(), "AppRoleName": app["name"], **columns}
            self.rows.append((workspace["properties"].get("customerId", ""), table, row))

    def _allowed(self, app: Resource, settings: Mapping[str, str], component: Resource) -> bool:
        said = settings.get("APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "")
        client, _, by = said.rpartition(";")
        own = (app.get("identity") or {}).get("principalId")
        given = identities(self.fake.store, app).get(client.removeprefix("ClientId="), {})
        identity = given.get("principalId") if client else own
        return by == "Authorization=AAD" and any(
            f"{component['id']}/".lower().startswith(f"{scope_of(r)}/")
            and r["properties"]["principalId"] == identity
            and r["properties"]["roleDefinitionId"].endswith(PUBLISHER)
            for r in self.fake.store.all("Microsoft.Authorization/roleAssignments")
        )

    def _fill_workspace(self, workspace: Resource) -> None:
        workspace["properties"].setdefault("customerId", str(uuid.uuid4()))

    def _check(self, call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        workspace = self.fake.store.get(body["properties"]["WorkspaceResourceId"])
        if workspace is None or workspace["properties"]["provisioningState"] != "Succeeded":
            return error(404, "ResourceNotFound", "the workspace of the component was not found.")
        return None

    def _fill(self, component: Resource) -> None:
        key = str(uuid.uuid5(uuid.NAMESPACE_URL, component["id"].lower()))
        component["properties"] |= {
            "InstrumentationKey": key,
            "ConnectionString": f"InstrumentationKey={key};IngestionEndpoint=https://localhost",
        }
        group = component["id"].partition("/providers/")[0]
        kind = "microsoft.alertsManagement/smartDetectorAlertRules"
        rule = f"{kind}/Failure Anomalies - {component['name']}"
        action = "microsoft.insights/actionGroups/Application Insights Smart Detection"
        for made in (rule, action):
            self.fake.store.put(f"{group}/providers/{made}", {"location": "global"})

    def _query(self, call: Call, match: re.Match[str]) -> Answer:
        if not signed_in(call):
            return error(403, "InsufficientAccessError", "The provided credentials are not enough")
        if not any(
            w["properties"].get("customerId") == match["id"]
            for w in self.fake.store.all(WORKSPACES)
        ):
            return error(404, "PathNotFoundError", "The requested path does not exist")
        asked = _QUERY.fullmatch(call.json["query"])
        if asked is None or (wrong := set(_columns(asked)) - set().union(*_known(asked))):
            said = "unknown columns" if asked else "the fake knows no such query"
            return error(400, "BadArgumentError", f"{said}: {wrong if asked else call.json}")
        names, found = _columns(asked), list(self._found(match["id"], asked))
        rows = [[row.get(name) for name in names] for row in reversed(found)][: int(asked["top"])]
        kinds = {"TimeGenerated": "datetime"}
        columns = [{"name": name, "type": kinds.get(name, "string")} for name in names]
        table = {"name": "PrimaryResult", "columns": columns, "rows": rows}
        return Answer(200, {"tables": [table]})

    def _found(self, customer: str, asked: re.Match[str]) -> Iterator[dict[str, Any]]:
        roles = re.findall(r"'([\w-]+)'", asked["roles"].lower())
        for workspace, table, row in self.rows:
            wanted = workspace == customer and table in asked["tables"].split(", ")
            if wanted and row["AppRoleName"].lower() in roles:
                yield row


def _columns(asked: re.Match[str]) -> list[str]:
    return asked["columns"].split(", ")


def _known(asked: re.Match[str]) -> Iterator[set[str]]:
    return (_TABLES.get(table, set()) for table in asked["tables"].split(", "))

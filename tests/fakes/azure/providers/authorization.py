"""Role assignments, and what they allow: blobs to the signed-in user, a storage account to an app's
identity."""

from __future__ import annotations

import re
from typing import Any

from tests.fakes.azure.arm import ResourceType
from tests.fakes.azure.blob import FakeBlobs
from tests.fakes.azure.fake import SUBSCRIPTION, AzureFake
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import PRINCIPAL
from tests.fakes.azure.shapes import ANY, MAY, NEEDED
from tests.fakes.azure.store import Resource

DEFINITIONS = "Microsoft.Authorization/roleDefinitions"
# data owner, contributor
BLOB_ROLES = ("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "ba92f5b4-2d11-453d-a403-e96b0029c9fe")


class Authorization:
    """`unknown` is how many assignments are refused because Entra ID does not know a new identity
    everywhere yet; `spreading` is how many polls it takes until a role that the signed-in user got
    works for blobs."""

    def __init__(self, fake: AzureFake, blobs: FakeBlobs) -> None:
        self.unknown = 0
        self.spreading = 2
        self._opened: set[str] = set()  # accounts that an assignment opened to who is signed in
        self._fake, self._blobs = fake, blobs
        shape = {
            "properties": {
                NEEDED: True,
                "roleDefinitionId": NEEDED,
                "principalId": NEEDED,
                "principalType": MAY,
                "description": MAY,
            }
        }
        self.types = (
            ResourceType(
                "Microsoft.Authorization/roleAssignments",
                shape,
                check=self._check,
                ends=self._assigned,
                on_delete=self._taken_away,
            ),
            ResourceType(DEFINITIONS, {"properties": ANY}),
        )

    @property
    def routes(self) -> tuple[Route, ...]:
        path = r"(?P<scope>/subscriptions/.+)/providers/Microsoft\.Authorization/roleAssignments"
        return (Route("GET", path, self._listed),)

    def _listed(self, call: Call, match: re.Match[str]) -> Answer:
        """Those of the scope, and of all scopes above it."""
        if refusal := self._fake.arm.refuse(call):
            return refusal
        scope, kind = f"{match['scope']}/".lower(), "Microsoft.Authorization/roleAssignments"
        whose = re.search(r"assignedTo\('([^']*)'\)", call.query.get("$filter", ""))
        found = [
            r
            for r in self._fake.store.all(kind)
            if scope.startswith(r["id"].lower().rpartition("/providers/")[0] + "/")
            and (not whose or r["properties"]["principalId"] == whose[1])
        ]
        return Answer(200, {"value": found})

    def give(self, scope: str, principal: str, role: str, **permissions: list[str]) -> str:
        """Put a role of these permissions (dataActions=[...]) there, and give it to `principal`
        over `scope`; the assignment's id."""
        provider = "providers/Microsoft.Authorization"
        definition = f"/subscriptions/{SUBSCRIPTION}/{provider}/roleDefinitions/{role}"
        facts = {"roleName": role, "permissions": [permissions]}
        self._fake.store.put(definition, {"properties": facts})
        id_ = f"{scope}/{provider}/roleAssignments/{role}"
        own = {"principalId": principal, "roleDefinitionId": definition}
        self._fake.store.put(id_, {"properties": own})
        return id_

    def allowed(self, principal: str, account: str) -> bool:
        """Whether `principal` may read and write the blobs of `account`."""
        accounts = self._fake.store.all("Microsoft.Storage/storageAccounts")
        found = next((a["id"].lower() for a in accounts if a["name"] == account), "")
        return any(
            r["properties"]["principalId"] == principal
            and f"{found}/".startswith(f"{scope_of(r)}/")  # of a group above it, too
            and r["properties"]["roleDefinitionId"].endswith(BLOB_ROLES)
            for r in self._fake.store.all("Microsoft.Authorization/roleAssignments")
        )

    def _check(self, call: Call, old: Resource | None, body: dict[str, Any]) -> Answer | None:
        wanted, scope = body["properties"], call.path.rpartition("/providers/")[0]
        if self._fake.store.get(scope) is None:
            return error(404, "ResourceNotFound", f"{scope} was not found.")
        if self.unknown > 0:
            self.unknown -= 1
            return error(
                400,
                "PrincipalNotFound",
                f"Principal {wanted['principalId']} does not exist in the directory.",
            )
        fixed = ("roleDefinitionId", "principalId")
        if old and any(old["properties"].get(key) != wanted[key] for key in fixed):
            said = (
                "Tenant ID, application ID, principal ID, and scope are not allowed to be updated."
            )
            return error(403, "RoleAssignmentUpdateNotPermitted", said)
        for other in self._fake.store.children(call.path.rpartition("/")[0]):
            same = all(other["properties"].get(key) == wanted[key] for key in fixed)
            if same and other["id"].lower() != call.path.lower():
                return error(409, "RoleAssignmentExists", "The role assignment already exists.")
        return None

    def _taken_away(self, resource: Resource) -> None:
        """Who is signed in loses what this assignment gave."""
        self._fake.store.delete(resource["id"])
        for account in self._opened & set(self._blobs.accounts):
            if not self.allowed(PRINCIPAL, account):
                self._blobs.denied.add(account)

    def _assigned(self, resource: Resource) -> None:
        account = re.search(r"/storageAccounts/([^/]+)/", resource["id"], re.IGNORECASE)
        if account and resource["properties"]["principalId"] == PRINCIPAL:
            spread = self._fake.operations
            polls, spread.polls = spread.polls, self.spreading
            if account[1].lower() in self._blobs.denied:  # else the user may already
                self._opened.add(account[1].lower())
            spread.start(self._fake.url, lambda: self._blobs.denied.discard(account[1].lower()))
            spread.polls = polls


def scope_of(assignment: Resource) -> str:
    """The id, in lower case, of what a role is assigned over."""
    return str(assignment["id"].lower().rpartition("/providers/microsoft.authorization/")[0])

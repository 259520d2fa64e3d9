"""Azure's role assignments, and who is signed in: the only importer of azure-mgmt-authorization."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_errors import existing, translated
from onnxferry.infra.errors import CloudError

BLOB_OWNER = "Storage Blob Data Owner"
BLOB_CONTRIBUTOR = "Storage Blob Data Contributor"
METRICS_PUBLISHER = "Monitoring Metrics Publisher"
_ROLES: Mapping[str, str] = {  # their GUIDs are the same in every subscription
    BLOB_OWNER: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    BLOB_CONTRIBUTOR: "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    METRICS_PUBLISHER: "3913510d-42f4-4e42-8a64-420c390055eb",
}
_NAMESPACE = uuid.UUID("6f6e6e78-6665-5272-8279-2d726f6c6573")


@dataclass(frozen=True)
class Principal:
    """An object id of Entra ID; `kind` is User, Group or ServicePrincipal."""

    id: str
    kind: str = "ServicePrincipal"


class Roles:
    """Role assignments of one subscription. A scope is the id of a resource, a role its name."""

    def __init__(self, session: AzureSession) -> None:
        self._session = session
        self._assignments = AuthorizationManagementClient(**session.options).role_assignments

    def signed_in(self) -> Principal:
        """Who is signed in, by the token."""
        claims = self._session.claims()
        # without "idtyp", an application's token has "appidacr"
        app = claims.get("idtyp", "app" if "appidacr" in claims else "user") == "app"
        if "oid" not in claims:
            said = "the token does not say who is signed in; sign in again with `az login`"
            raise CloudError(f"sign-in: {said}")
        return Principal(claims["oid"], "ServicePrincipal" if app else "User")

    def has(self, scope: str, role: str, principal: Principal) -> bool:
        """Whether our assignment is there."""
        name, get = assignment_name(scope, role, principal), self._assignments.get
        return existing(_where(scope, role), get, scope.lstrip("/"), name) is not None

    def assign(self, scope: str, role: str, principal: Principal, description: str) -> str | None:
        """Give `principal` the role over `scope`: None when it has it, else what is waited for,
        while Entra ID does not know a new identity everywhere."""
        provider = f"/subscriptions/{self._session.subscription}/providers/Microsoft.Authorization"
        wanted = RoleAssignmentCreateParameters(
            role_definition_id=f"{provider}/roleDefinitions/{_ROLES[role]}",
            principal_id=principal.id,
            principal_type=principal.kind,
            description=description,
        )
        name = assignment_name(scope, role, principal)
        with translated(_where(scope, role)):
            try:
                self._assignments.create(scope.lstrip("/"), name, wanted)
            except ResourceExistsError:
                return None  # somebody gave it before, under another name
            except HttpResponseError as e:
                if e.error and e.error.code == "PrincipalNotFound":
                    return "waiting for Entra ID to know the new identity"
                raise
        return None

    def described(self, scope: str, description: str) -> list[str]:
        """The ids of our assignments at `scope` itself that were made with `description`."""
        with translated(f"role assignments of {scope.rpartition('/')[2]}"):
            found = self._assignments.list_for_scope(scope.lstrip("/"), filter="atScope()")
            return [one.id for one in found if one.description == description and _ours(one, scope)]

    def delete(self, assignment: str) -> None:
        """Delete the assignment of that id."""
        with translated(f"role assignment {assignment.rpartition('/')[2]}"):
            self._assignments.delete_by_id(assignment.lstrip("/"))


def assignment_name(scope: str, role: str, principal: Principal) -> str:
    """The GUID of an assignment, made of what it says, so that the same one twice is one."""
    return str(uuid.uuid5(_NAMESPACE, f"{scope.lower()}|{principal.id.lower()}|{_ROLES[role]}"))


def _ours(found: Any, scope: str) -> bool:
    """Whether its name is one that `assign` gives. A list has those of the scopes above, too."""
    roles = {guid: role for role, guid in _ROLES.items()}
    role = roles.get(str(found.role_definition_id).rpartition("/")[2].lower())
    if role is None:
        return False
    return str(found.name) == assignment_name(scope, role, Principal(found.principal_id))


def _where(scope: str, role: str) -> str:
    return f"role {role} on {scope.rpartition('/')[2]}"

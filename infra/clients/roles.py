"""Azure's role assignments: the door to azure-mgmt-authorization, and who is signed in.

An assignment's name is made of what it says, so that the same one twice is one.
"""

from __future__ import annotations

import base64
import json
import uuid
from dataclasses import dataclass
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.mgmt.authorization import AuthorizationManagementClient
from azure.mgmt.authorization.v2022_04_01.models import RoleAssignmentCreateParameters

from onnxferry.infra.clients.azure import Session, translated
from onnxferry.infra.errors import CloudError

_NAMESPACE = uuid.UUID("6f6e6e78-6665-5272-8279-2d726f6c6573")


@dataclass(frozen=True)
class Principal:
    """Who a role is given to: an object id of Entra ID, and User, Group or ServicePrincipal."""

    id: str
    kind: str = "ServicePrincipal"


@dataclass(frozen=True)
class Role:
    """A built-in role: its GUID, which is the same in every subscription, and its name."""

    id: str
    name: str


BLOB_OWNER = Role("b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "Storage Blob Data Owner")
BLOB_CONTRIBUTOR = Role("ba92f5b4-2d11-453d-a403-e96b0029c9fe", "Storage Blob Data Contributor")


class Roles:
    """Role assignments of one subscription."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._client = AuthorizationManagementClient(**session.options)

    def signed_in(self) -> Principal:
        """Who is signed in, as the token says it."""
        with translated("sign-in"):
            token = self._session.credential.get_token(self._session.where.scope).token
        try:
            claims = json.loads(base64.urlsafe_b64decode(token.split(".")[1] + "=="))
            kind = (
                "ServicePrincipal"
                if claims.get("idtyp") == "app" or "appidacr" in claims
                else "User"
            )
            return Principal(claims["oid"], "User" if claims.get("idtyp") == "user" else kind)
        except (IndexError, KeyError, ValueError, AttributeError) as e:
            raise CloudError(
                "sign-in: the token does not say who is signed in; sign in again with `az login`"
            ) from e

    def has(self, scope: str, role: Role, principal: Principal) -> bool:
        """Whether our assignment is there."""
        with translated(_where(scope, role)):
            try:
                self._client.role_assignments.get(
                    scope.lstrip("/"), assignment_name(scope, role, principal)
                )
            except ResourceNotFoundError:
                return False
        return True

    def assign(self, scope: str, role: Role, principal: Principal, description: str) -> str | None:
        """Give `principal` the role over `scope`; no change when it has it.

        None when that is so. What is still missing, in words, while Entra ID does not know a new
        identity everywhere.
        """
        subscription = f"/subscriptions/{self._session.subscription}"
        definition = f"{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role.id}"
        wanted = RoleAssignmentCreateParameters(
            role_definition_id=definition,
            principal_id=principal.id,
            principal_type=principal.kind,
            description=description,
        )
        with translated(_where(scope, role)):
            try:
                self._client.role_assignments.create(
                    scope.lstrip("/"), assignment_name(scope, role, principal), wanted
                )
            except ResourceExistsError:
                return None  # somebody gave it before, under another name
            except HttpResponseError as e:
                if e.error and e.error.code == "PrincipalNotFound":
                    return "waiting for Entra ID to know the new identity"
                raise
        return None

    def described(self, scope: str, description: str) -> list[str]:
        """The ids of the assignments at `scope` that were made with `description`."""
        with translated(f"role assignments of {scope.rpartition('/')[2]}"):
            found: list[Any] = list(
                self._client.role_assignments.list_for_scope(scope.lstrip("/"), filter="atScope()")
            )
        return [one.id for one in found if one.description == description]

    def delete(self, assignment: str) -> None:
        with translated(f"role assignment {assignment.rpartition('/')[2]}"):
            self._client.role_assignments.delete_by_id(assignment.lstrip("/"))


def assignment_name(scope: str, role: Role, principal: Principal) -> str:
    """The GUID of the assignment of `role` over `scope` to `principal`."""
    return str(uuid.uuid5(_NAMESPACE, f"{scope.lower()}|{principal.id.lower()}|{role.id}"))


def _where(scope: str, role: Role) -> str:
    return f"role {role.name} on {scope.rpartition('/')[2]}"

"""Azure's role assignments, and who is signed in: the only importer of azure-mgmt-authorization."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from azure.core.exceptions import HttpResponseError, ResourceExistsError
from azure.mgmt.authorization import AuthorizationManagementClient

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_bodies import role_assignment
from onnxferry.infra.clients.azure_errors import existing, translated
from onnxferry.infra.errors import CloudError

API_VERSION = "2022-04-01"
BLOB_OWNER = "Storage Blob Data Owner"
BLOB_CONTRIBUTOR = "Storage Blob Data Contributor"
METRICS_PUBLISHER = "Monitoring Metrics Publisher"
BLOB_READER = "Storage Blob Data Reader"
ACR_PULL = "AcrPull"
IDENTITY_OPERATOR = "Managed Identity Operator"
ML_DATA_SCIENTIST = "AzureML Data Scientist"
ML_METRICS_WRITER = "AzureML Metrics Writer (preview)"
MONITORING_CONTRIBUTOR = "Monitoring Contributor"
READER = "Reader"
ROLES: Mapping[str, str] = {  # their GUIDs are the same in every subscription
    BLOB_OWNER: "b7e6dc6d-f1e8-4753-8033-0f276bb0955b",
    BLOB_CONTRIBUTOR: "ba92f5b4-2d11-453d-a403-e96b0029c9fe",
    METRICS_PUBLISHER: "3913510d-42f4-4e42-8a64-420c390055eb",
    BLOB_READER: "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1",
    ACR_PULL: "7f951dda-4ed3-4680-a7ca-43fe172d538d",
    IDENTITY_OPERATOR: "f1a07417-d97a-45cb-824c-7a7467783830",
    ML_DATA_SCIENTIST: "f6c7c914-8db3-469d-8ca1-694a8f32e121",
    ML_METRICS_WRITER: "635dd51f-9968-44d3-b7fb-6d9a6bd613ae",
    MONITORING_CONTRIBUTOR: "749f88d5-cbae-40b8-bcfc-e573ddc772fa",
    READER: "acdd72a7-3385-48ef-bd42-f606fba81ae7",
}
_NAMESPACE = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")  # of templates' function guid

_CHANGED = "RoleAssignmentUpdateNotPermitted"


@dataclass(frozen=True)
class Principal:
    """An object id of Entra ID; `kind` is User, Group or ServicePrincipal. Its assignments are
    named after it, or after what is `named`: of an app its resource id, which is known before the
    app is made."""

    id: str
    kind: str = "ServicePrincipal"
    named: str = ""


class Roles:
    """Role assignments of one subscription. A scope is the id of a resource, a role its name."""

    def __init__(self, session: AzureSession) -> None:
        self._session = session
        client = AuthorizationManagementClient(api_version=API_VERSION, **session.options)
        self._assignments, self._definitions = client.role_assignments, client.role_definitions

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
        """Whether our assignment is there, and for this principal: an app that is made again has
        another identity."""
        name, get = assignment_name(scope, role, principal), self._assignments.get
        found = existing(_where(scope, role), get, scope.lstrip("/"), name)
        return found is not None and str(found.principal_id).lower() == principal.id.lower()

    def assign(self, scope: str, role: str, principal: Principal, description: str) -> str | None:
        """Give `principal` the role over `scope`: None when it has it, else what is waited for,
        while Entra ID does not know a new identity everywhere."""
        provider = f"/subscriptions/{self._session.subscription}/providers/Microsoft.Authorization"
        definition = f"{provider}/roleDefinitions/{ROLES[role]}"
        body = role_assignment(definition, principal.id, principal.kind, description)
        place, name = scope.lstrip("/"), assignment_name(scope, role, principal)
        with translated(_where(scope, role)):
            try:
                self._assignments.create(place, name, body)
            except ResourceExistsError:
                return None  # somebody gave it before, under another name
            except HttpResponseError as e:
                code = e.error.code if e.error else ""
                if code == _CHANGED:  # it is for the identity of an app that is gone
                    self._assignments.delete(place, name)
                    return "replacing the role of an identity that is gone"
                if code == "PrincipalNotFound":
                    return "waiting for Entra ID to know the new identity"
                raise
        return None

    def gives(self, scope: str, principal: str, action: str, data: bool = False) -> bool:
        """Whether a role that the object id `principal`, or a group that it is in, has at the scope
        or above it gives an action, or one on `data`."""
        asked = f"atScope() and assignedTo('{principal}')"
        with translated(f"role assignments of {scope.rpartition('/')[2]}"):
            found = self._assignments.list_for_scope(scope.lstrip("/"), filter=asked)
            roles = {one.role_definition_id for one in found}
            definitions = (self._definitions.get_by_id(role.lstrip("/")) for role in sorted(roles))
            return any(
                _gives(permission, action, data)
                for definition in definitions
                for permission in definition.permissions or ()
            )

    def described(self, scope: str, description: str, named: str) -> list[str]:
        """The ids of our assignments at `scope` itself that were made with `description` for what
        is `named`."""
        with translated(f"role assignments of {scope.rpartition('/')[2]}"):
            found = self._assignments.list_for_scope(scope.lstrip("/"), filter="atScope()")
            return [x.id for x in found if x.description == description and _ours(x, scope, named)]

    def delete(self, assignment: str) -> None:
        """Delete the assignment of that id."""
        with translated(f"role assignment {assignment.rpartition('/')[2]}"):
            self._assignments.delete_by_id(assignment.lstrip("/"))


def assignment_name(scope: str, role: str, principal: Principal) -> str:
    """The GUID of an assignment, made of what it says, so that the same one twice is one. It is
    what a template's guid(toLower(scope), toLower(named), role) is."""
    whose = principal.named or principal.id
    parts = (scope.lower(), whose.lower(), ROLES[role])
    return str(uuid.uuid5(_NAMESPACE, "-".join(parts)))


def _gives(permission: Any, action: str, data: bool) -> bool:
    kinds = ("data_actions", "not_data_actions") if data else ("actions", "not_actions")
    given, taken = (getattr(permission, kind) or () for kind in kinds)
    return _matches(action, given) and not _matches(action, taken)


def _matches(action: str, patterns: Iterable[str]) -> bool:
    return any(fnmatchcase(action.lower(), pattern.lower()) for pattern in patterns)


def _ours(found: Any, scope: str, named: str) -> bool:
    """Whether its name is one that `assign` gives. A list has those of the scopes above, too."""
    roles = {guid: role for role, guid in ROLES.items()}
    role = roles.get(str(found.role_definition_id).rpartition("/")[2].lower())
    if role is None:
        return False
    whose = Principal(found.principal_id, named=named)
    return str(found.name) == assignment_name(scope, role, whose)


def _where(scope: str, role: str) -> str:
    return f"role {role} on {scope.rpartition('/')[2]}"

"""What a user gives an app that stays the user's: a subnet, and an identity."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.infra.clients.azure import AzureSession
from onnxferry.infra.clients.azure_groups import ArmResources

NETWORK_VERSION = "2024-05-01"
IDENTITY_VERSION = "2023-01-31"
_IDS = ("client", "principal")


@dataclass(frozen=True)
class Subnet:
    """`services` are those that it is delegated to, like Microsoft.App/environments."""

    id: str
    services: tuple[str, ...]


@dataclass(frozen=True)
class Identity:
    """A user-assigned identity: `client` is its client id, `principal` its object id, by which
    roles are given to it."""

    id: str
    name: str
    client: str
    principal: str = ""


class Given:
    """Subnets and identities by their ids."""

    def __init__(self, session: AzureSession) -> None:
        self._networks = ArmResources(session, NETWORK_VERSION)
        self._identities = ArmResources(session, IDENTITY_VERSION)

    def subnet(self, id_: str) -> Subnet | None:
        """The subnet of that id, if there is one."""
        found = self._networks.get(id_)
        if found is None:
            return None
        delegations = (found.get("properties") or {}).get("delegations") or ()
        facts = (one.get("properties") or {} for one in delegations)
        return Subnet(id_, tuple(str(one.get("serviceName", "")) for one in facts))

    def identity(self, id_: str) -> Identity | None:
        """The identity of that id, if there is one."""
        found = self._identities.get(id_)
        if found is None:
            return None
        properties = found.get("properties") or {}
        client, principal = (str(properties.get(f"{kind}Id", "")) for kind in _IDS)
        return Identity(id_, str(found["name"]), client, principal)

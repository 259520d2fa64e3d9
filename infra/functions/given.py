"""What a desired state needs to know besides deploy.toml and the app: the subnet and the identity
that are given, and who issues tokens."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.infra.clients.azure_given import Identity
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.functions.state import Clients
from onnxferry.infra.target_tables import Functions

DELEGATION = "Microsoft.App/environments"


@dataclass(frozen=True)
class Surroundings:
    """`suffix` is that of the cloud's storage accounts, `deployed` the time of this deployment (ISO
    8601, UTC), `issuer` who issues the tokens of the tenant, where the app asks for such."""

    suffix: str
    deployed: str
    identity: Identity | None = None
    issuer: str = ""


def surroundings(clients: Clients, config: Functions, deployed: str) -> Surroundings:
    """As they are now. Raises NotFound or Refused where what deploy.toml gives is not there, or is
    not fit for an app."""
    session, issuer = clients.session, ""
    if config.auth == "entra":
        issuer = f"{session.where.authority}/{config.tenant or session.tenant()}/v2.0"
    _check_subnet(clients, config.subnet)
    identity = _identity(clients, config.identity)
    return Surroundings(session.where.storage_suffix, deployed, identity, issuer)


def _identity(clients: Clients, id_: str | None) -> Identity | None:
    if id_ is None:
        return None
    found = clients.given.identity(id_)
    if found is None:
        raise _absent("identity", id_)
    return found


def _check_subnet(clients: Clients, id_: str | None) -> None:
    if id_ is None:
        return
    found = clients.given.subnet(id_)
    if found is None:
        raise _absent("subnet", id_)
    if DELEGATION.lower() not in (service.lower() for service in found.services):
        to = ", ".join(found.services) or "nothing"
        raise Refused(
            f"subnet {_last(id_)}: it is delegated to {to}, and an app on Flex Consumption needs"
            f" {DELEGATION}. What next: az network vnet subnet update --ids {id_} --delegations"
            f" {DELEGATION}; or give another subnet in [functions] of deploy.toml"
        )


def _absent(key: str, id_: str) -> NotFound:
    return NotFound(
        f"{key} {_last(id_)}: there is none of the id {id_}. What next: correct {key} in"
        " [functions] of deploy.toml, or have it made first"
    )


def _last(id_: str) -> str:
    return id_.rpartition("/")[2]

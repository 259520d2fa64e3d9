"""Azure, whichever cloud it is: where it is, who signs in, and what its refusals mean.

The public cloud unless ARM_CLOUD_METADATA_URL names another (a sovereign cloud, Azure Stack), as
the Azure CLI and azure-ai-ml read it. Sign-in is azure-identity's DefaultAzureCredential:
environment, workload identity, `az login` ...
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ServiceRequestError,
    ServiceResponseError,
)
from azure.identity import CredentialUnavailableError, DefaultAzureCredential

from onnxferry.infra.errors import (
    CloudError,
    NameTaken,
    NoCredentials,
    NotAllowed,
    NotFound,
    QuotaExceeded,
    Refused,
    Unavailable,
)

METADATA = "ARM_CLOUD_METADATA_URL"


@dataclass(frozen=True)
class AzureCloud:
    """A cloud's addresses: of its resource manager, of its sign-in, and the suffix of its storage
    accounts."""

    name: str = "AzureCloud"
    resource_manager: str = "https://management.azure.com"
    authority: str = "https://login.microsoftonline.com"
    storage_suffix: str = "core.windows.net"

    @property
    def scope(self) -> str:
        """What a token for the resource manager is asked for."""
        return f"{self.resource_manager}/.default"


def cloud(environment: Mapping[str, str] = os.environ) -> AzureCloud:
    """The cloud that `environment` names. Raises Unavailable when its metadata cannot be had."""
    url = environment.get(METADATA)
    if not url:
        return AzureCloud()
    try:
        found = httpx.get(url, timeout=30, verify=trust(environment)).raise_for_status().json()
        first = found[0] if isinstance(found, list) else found
        return AzureCloud(
            first["name"],
            first["resourceManager"].rstrip("/"),
            first["authentication"]["loginEndpoint"].rstrip("/"),
            first["suffixes"]["storage"],
        )
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as e:
        raise Unavailable(
            f"{METADATA}={url}: no cloud's metadata there ({e!r}); correct or unset the variable"
        ) from e


def trust(environment: Mapping[str, str] = os.environ) -> ssl.SSLContext:
    """Whom to trust: REQUESTS_CA_BUNDLE where it is set, as the SDKs do."""
    return ssl.create_default_context(cafile=environment.get("REQUESTS_CA_BUNDLE") or None)


def credential(where: AzureCloud, tenant: str | None = None) -> Any:
    """Who signs in to `where`. Nothing is asked of the user, and nothing is sent before the first
    call."""
    public = where == AzureCloud()
    # it warns of each way to sign in that is not set up
    logger = logging.getLogger("azure.identity")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)
    options = {"authority": where.authority, "disable_instance_discovery": not public}
    return _OfTenant(tenant, **options) if tenant else DefaultAzureCredential(**options)


class _OfTenant(DefaultAzureCredential):  # type: ignore[misc]
    """Asks for tokens of one tenant, whichever way the user is signed in; DefaultAzureCredential
    itself has no setting for that."""

    def __init__(self, tenant: str, **options: Any) -> None:
        super().__init__(additionally_allowed_tenants=[tenant], **options)
        self._tenant = tenant

    def get_token(self, *scopes: str, tenant_id: str | None = None, **options: Any) -> Any:
        return super().get_token(*scopes, tenant_id=tenant_id or self._tenant, **options)

    def get_token_info(self, *scopes: str, options: Mapping[str, Any] | None = None) -> Any:
        return super().get_token_info(
            *scopes, options={"tenant_id": self._tenant, **(options or {})}
        )


# the SDKs' own
RETRIES: Mapping[str, Any] = {
    "retry_total": 5,
    "retry_backoff_factor": 0.8,
    "retry_backoff_max": 30,
}
POLLING = 5  # seconds between two polls of an operation, where the service does not say


@dataclass(frozen=True)
class Session:
    """Who is signed in, where, and to which subscription: what the doors of the services are opened
    with."""

    where: AzureCloud
    credential: Any
    subscription: str

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of a service's management client."""
        return {
            "credential": self.credential,
            "subscription_id": self.subscription,
            "base_url": self.where.resource_manager,
            "credential_scopes": [self.where.scope],
            "polling_interval": POLLING,
            **RETRIES,
        }

    def sign_in(self) -> None:
        """Ask for a token. Raises NoCredentials when nobody is signed in."""
        with translated(f"subscription {self.subscription}"):
            self.credential.get_token(self.where.scope)


def session(subscription: str, tenant: str | None = None) -> Session:
    """Of whoever is signed in. Sends nothing before the first call, unless ARM_CLOUD_METADATA_URL
    names a cloud."""
    where = cloud()
    return Session(where, credential(where, tenant), subscription)


_NEXT = {
    NotAllowed: (
        "ask the subscription's owner for a role that allows it, then wait some minutes and run"
        " again"
    ),
    NotFound: "check subscription, resource group, workspace, location and name in deploy.toml",
    QuotaExceeded: (
        "ask for more quota in the portal, or choose another size, location or count in deploy.toml"
    ),
    NameTaken: "choose another name: --name, or name in [model] of deploy.toml",
    Unavailable: "run the same command again; it goes on where it stopped",
    Refused: "the message says which setting; correct it in deploy.toml",
}

_CODES: Mapping[str, type[CloudError]] = {
    "authorizationfailed": NotAllowed,
    "linkedauthorizationfailed": NotAllowed,
    "authorizationpermissionmismatch": NotAllowed,
    "forbidden": NotAllowed,
    "resourcegroupnotfound": NotFound,
    "resourcenotfound": NotFound,
    "subscriptionnotfound": NotFound,
    "notfound": NotFound,
    "locationnotavailableforresourcetype": NotFound,
    "invalidsubscriptionid": NotFound,
    "quotaexceeded": QuotaExceeded,
    "outofquota": QuotaExceeded,
    "skunotavailable": QuotaExceeded,
    "outofcapacity": QuotaExceeded,
    "storageaccountalreadytaken": NameTaken,
    "websitewithgivennamealreadyexists": NameTaken,
    "toomanyrequests": Unavailable,
}
_STATUSES: Mapping[int, type[CloudError]] = {403: NotAllowed, 404: NotFound, 429: Unavailable}
_ACTION = re.compile(r"perform action '([^']+)'")


@contextmanager
def translated(where: str, environment: Mapping[str, str] = os.environ) -> Iterator[None]:
    """An SDK's error in the block becomes one of ours, saying `where` ("resource group rg of
    subscription ...")."""
    try:
        yield
    except (CredentialUnavailableError, ClientAuthenticationError) as e:
        raise NoCredentials(_unsigned(where, e)) from e
    except HttpResponseError as e:
        raise _of_response(where, e) from e
    except (ServiceRequestError, ServiceResponseError) as e:
        raise Unavailable(
            f"{where}: no connection ({type(e).__name__}); check the network, then run again"
        ) from e
    except AzureError as e:
        raise CloudError(f"{where}: {_first_line(str(e))}") from e


def _unsigned(where: str, e: AzureError) -> str:
    said = re.search(r"AADSTS\d+[^\n]*", str(e))
    return (
        f"{where}: nobody is signed in to Azure, or the sign-in has expired"
        + (f" ({said[0][:300]})" if said else "")
        + ". Run `az login`, or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of a"
        " service principal"
    )


def _of_response(where: str, e: HttpResponseError) -> CloudError:
    code = (e.error.code if e.error else None) or ""
    said = _first_line((e.error.message if e.error else None) or e.message or "")
    kind = _CODES.get(code.lower()) or _by_status(e.status_code)
    action = _ACTION.search(said)
    if kind is NotAllowed and action:
        said = f"the permission {action[1]} is missing. {said}"
    return kind(
        f"{where}: {code or e.status_code}: {said}. What next: {_NEXT.get(kind, 'see the message')}"
    )


def _by_status(status: int | None) -> type[CloudError]:
    if status is not None and status >= 500:
        return Unavailable
    return _STATUSES.get(status or 0, Refused)


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".")[:600]

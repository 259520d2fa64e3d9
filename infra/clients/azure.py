"""Azure's addresses, and the sign-in by azure-identity's DefaultAzureCredential.

It is the public cloud unless ARM_CLOUD_METADATA_URL names another, as for the Azure CLI.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from azure.identity import DefaultAzureCredential

from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.connections import trust
from onnxferry.infra.errors import Unavailable

METADATA = "ARM_CLOUD_METADATA_URL"
State = Callable[[], str | None]  # what is still waited for; None at its end; raises for a failure
Wait = Callable[[str, State], None]  # waits for what its first argument names


@dataclass(frozen=True)
class AzureEnvironment:
    """A cloud's addresses, and the suffix of its storage accounts."""

    name: str = "AzureCloud"
    resource_manager: str = "https://management.azure.com"
    authority: str = "https://login.microsoftonline.com"
    storage_suffix: str = "core.windows.net"

    @property
    def scope(self) -> str:
        """The scope of a token for the resource manager."""
        return f"{self.resource_manager}/.default"


def azure_environment(variables: Mapping[str, str] = os.environ) -> AzureEnvironment:
    """The cloud that `variables` name. Raises Unavailable without its metadata."""
    url = variables.get(METADATA)
    if not url:
        return AzureEnvironment()
    try:
        found = httpx.get(url, timeout=30, verify=trust(variables)).raise_for_status().json()
        first = found[0] if isinstance(found, list) else found
        urls = (first["resourceManager"], first["authentication"]["loginEndpoint"])
        manager, authority = (url.rstrip("/") for url in urls)
        return AzureEnvironment(first["name"], manager, authority, first["suffixes"]["storage"])
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as e:
        said = f"no cloud's metadata there ({e!r}); correct or unset the variable"
        raise Unavailable(f"{METADATA}={url}: {said}") from e


def credential(where: AzureEnvironment, tenant: str | None = None) -> Any:
    """The credential for `where`. It asks the user nothing, and sends nothing yet."""
    logger = logging.getLogger("azure.identity")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.ERROR)  # it warns of each way to sign in that is not set up
    public = where == AzureEnvironment()
    options = {"authority": where.authority, "disable_instance_discovery": not public}
    return _TenantCredential(tenant, **options) if tenant else DefaultAzureCredential(**options)


class _TenantCredential(DefaultAzureCredential):  # type: ignore[misc]
    """Asks for tokens of one tenant, which has no setting in DefaultAzureCredential."""

    def __init__(self, tenant: str, **options: Any) -> None:
        super().__init__(additionally_allowed_tenants=[tenant], **options)
        self._tenant = tenant

    def get_token(self, *scopes: str, tenant_id: str | None = None, **options: Any) -> Any:
        return super().get_token(*scopes, tenant_id=tenant_id or self._tenant, **options)

    def get_token_info(self, *scopes: str, options: Mapping[str, Any] | None = None) -> Any:
        own = {"tenant_id": self._tenant, **(options or {})}
        return super().get_token_info(*scopes, options=own)


@dataclass(frozen=True)
class AzureSession:
    """The sign-in, the cloud and the subscription, for the clients of all services.

    `interval` is the seconds between two polls of an operation; pauses before second tries are in
    proportion to it.
    """

    where: AzureEnvironment
    credential: Any
    subscription: str
    interval: float = 5.0

    @property
    def retries(self) -> dict[str, Any]:
        """azure-core's retry policy."""
        first, longest = 0.16 * self.interval, 6 * self.interval
        return {"retry_total": 5, "retry_backoff_factor": first, "retry_backoff_max": longest}

    @property
    def blob_retries(self) -> dict[str, Any]:
        """azure-storage-blob's own retry policy, in seconds."""
        first, more = 0.2 * self.interval, 0.4 * self.interval
        pauses = {"initial_backoff": first, "increment_base": more, "random_jitter_range": first}
        return {"retry_total": 5, **pauses}

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of a service's management client."""
        return {
            "credential": self.credential,
            "subscription_id": self.subscription,
            "base_url": self.where.resource_manager,
            "credential_scopes": [self.where.scope],
            "polling_interval": self.interval,
            **self.retries,
        }

    def token(self) -> str:
        """A token for the resource manager. Raises NoCredentials when nobody is signed in."""
        with translated(f"subscription {self.subscription}"):
            return str(self.credential.get_token(self.where.scope).token)


def azure_session(subscription: str, tenant: str | None, interval: float) -> AzureSession:
    """The session of whoever is signed in. Asks only for the cloud's metadata, if at all."""
    where = azure_environment()
    return AzureSession(where, credential(where, tenant), subscription, interval)

"""Azure's addresses, and the sign-in by azure-identity's DefaultAzureCredential, which is renewed
once where a service says that it has expired.

It is the public cloud unless ARM_CLOUD_METADATA_URL names another, as for the Azure CLI.
"""

from __future__ import annotations

import base64
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import httpx
from azure.identity import DefaultAzureCredential
from azure.mgmt.core.policies import ARMChallengeAuthenticationPolicy

from onnxferry.infra.clients.azure_errors import translated
from onnxferry.infra.clients.connections import broken, certificates, trust
from onnxferry.infra.errors import CloudError, NoCredentials, Unavailable

METADATA = "ARM_CLOUD_METADATA_URL"
_CONNECTING = 20.0  # seconds; a firewall that drops all says nothing
_UNTOLD = "sign-in: the token does not say who is signed in; sign in again with `az login`"
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
    except httpx.TransportError as e:
        raise Unavailable(f"{METADATA}={url}: no connection: {broken(e)}") from e
    except (httpx.HTTPError, ValueError, KeyError, IndexError, TypeError) as e:
        said = f"no cloud's metadata there ({e!r}); correct or unset the variable"
        raise Unavailable(f"{METADATA}={url}: {said}") from e


class SignIn:
    """A credential that asks for tokens of `tenant`, if that is given. It asks the user nothing,
    and sends nothing before a token is needed."""

    def __init__(self, where: AzureEnvironment, tenant: str | None = None) -> None:
        logger = logging.getLogger("azure.identity")
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.ERROR)  # it warns of each way to sign in that is not set up
        public = where == AzureEnvironment()
        also = {"additionally_allowed_tenants": [tenant]} if tenant else {}
        options = {"authority": where.authority, "disable_instance_discovery": not public}
        options["connection_verify"] = certificates()
        self._own = {"tenant_id": tenant} if tenant else {}
        self._make = partial(DefaultAzureCredential, **options, **also)
        self.renew()

    def renew(self) -> None:
        """Forget all tokens: the next is a new one, or there is none."""
        self._now: Any = self._make()

    def get_token(self, *scopes: str, **options: Any) -> Any:
        """A token, as azure-core's credentials give it. A service that names the tenant has refused
        the token before."""
        if options.get("tenant_id"):
            self.renew()
        return self._now.get_token(*scopes, **{**self._own, **options})

    def get_token_info(self, *scopes: str, options: Mapping[str, Any] | None = None) -> Any:
        """The same with more about the token."""
        asked = {key: value for key, value in (options or {}).items() if value is not None}
        if "tenant_id" in asked:
            self.renew()
        return self._now.get_token_info(*scopes, options={**self._own, **asked})


def credential(where: AzureEnvironment, tenant: str | None = None) -> SignIn:
    """The credential for `where`."""
    return SignIn(where, tenant)


class _Renewing(ARMChallengeAuthenticationPolicy):  # type: ignore[misc]
    """Sends a request that is refused for its token once more, with a new one."""

    def on_challenge(self, request: Any, response: Any) -> bool:
        if not super().on_challenge(request, response):
            self._credential.renew()
            self.authorize_request(request, *self._scopes)
        body: Any = getattr(request.http_request, "content", None)
        if hasattr(body, "seek"):
            body.seek(0)  # a file was read to its end
        return True


@dataclass(frozen=True)
class AzureSession:
    """The sign-in, the cloud and the subscription, for the clients of all services.

    `interval` is the seconds between two polls of an operation; pauses before second tries are in
    proportion to it. `patience` is the seconds that an answer may take.
    """

    where: AzureEnvironment
    credential: Any
    subscription: str
    interval: float = 5.0
    patience: float = 300.0

    @property
    def retries(self) -> dict[str, Any]:
        """azure-core's retry policy."""
        first, longest = 0.16 * self.interval, 6 * self.interval
        pauses = {"retry_backoff_factor": first, "retry_backoff_max": longest}
        return {"retry_total": 5, **pauses}

    @property
    def blob_retries(self) -> dict[str, Any]:
        """azure-storage-blob's own retry policy, in seconds."""
        first, more = 0.2 * self.interval, 0.4 * self.interval
        pauses = {"initial_backoff": first, "increment_base": more, "random_jitter_range": first}
        return {"retry_total": 5, **pauses}

    @property
    def connection(self) -> dict[str, Any]:
        """azure-core's transport: how long it waits, and whose certificates it trusts."""
        connecting = min(_CONNECTING, self.patience)
        limits = {"connection_timeout": connecting, "read_timeout": self.patience}
        return {**limits, "connection_verify": certificates()}

    @property
    def options(self) -> dict[str, Any]:
        """The keyword arguments of a service's management client."""
        return {
            "credential": self.credential,
            "subscription_id": self.subscription,
            "base_url": self.where.resource_manager,
            "credential_scopes": [self.where.scope],
            "authentication_policy": self.sign_in_policy(),
            "polling_interval": self.interval,
            **self.retries,
            **self.connection,
        }

    def sign_in_policy(self) -> Any:
        """What signs the requests of one client in."""
        return _Renewing(self.credential, self.where.scope)

    def token(self) -> str:
        """A token for the resource manager. Raises NoCredentials when nobody is signed in."""
        with translated(f"subscription {self.subscription}"):
            return str(self.credential.get_token(self.where.scope).token)

    def claims(self) -> dict[str, Any]:
        """What the token says of who is signed in. Raises CloudError where it says nothing."""
        try:
            payload = self.token().split(".")[1]
            return dict(json.loads(base64.urlsafe_b64decode(payload + "==")))
        except (IndexError, TypeError, ValueError) as e:
            raise CloudError(_UNTOLD) from e

    def tenant(self) -> str:
        """The id of the tenant that the token is of. Raises CloudError where it does not say so."""
        found = self.claims().get("tid")
        if not found:
            raise CloudError(f"{_UNTOLD}; or set tenant in deploy.toml")
        return str(found)

    def token_for(self, audience: str) -> str:
        """A token for an application of the tenant, by its audience. Raises NoCredentials."""
        scope = f"{audience.rstrip('/')}/.default"
        try:
            with translated(f"token for {audience}"):
                return str(self.credential.get_token(scope).token)
        except NoCredentials as e:
            raise NoCredentials(
                f"{e}. The app registration of {audience} must be in the tenant, and let the"
                f" signed-in user or service have a token: try `az account get-access-token --scope"
                f" {scope}`"
            ) from e


def azure_session(subscription: str, tenant: str | None, interval: float) -> AzureSession:
    """The session of whoever is signed in. Asks only for the cloud's metadata, if at all."""
    where = azure_environment()
    return AzureSession(where, credential(where, tenant), subscription, interval)

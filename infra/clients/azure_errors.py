"""What Azure's refusals mean, as tables: an error code or a status to one of our errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import (
    AzureError,
    ClientAuthenticationError,
    HttpResponseError,
    ResourceNotFoundError,
    ServiceRequestError,
    ServiceResponseError,
)

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
_CODES = {
    NotAllowed: (
        "authorizationfailed linkedauthorizationfailed authorizationpermissionmismatch forbidden"
    ),
    NotFound: (
        "resourcegroupnotfound resourcenotfound subscriptionnotfound notfound"
        " locationnotavailableforresourcetype invalidsubscriptionid"
    ),
    QuotaExceeded: "quotaexceeded outofquota skunotavailable outofcapacity",
    NameTaken: "storageaccountalreadytaken websitewithgivennamealreadyexists",
    Unavailable: "toomanyrequests",
}
_KINDS: Mapping[str, type[CloudError]] = {
    code: kind for kind, codes in _CODES.items() for code in codes.split()
}
_STATUSES: Mapping[int, type[CloudError]] = {403: NotAllowed, 404: NotFound, 429: Unavailable}
_ACTION = re.compile(r"perform action '([^']+)'")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn an SDK's error in the block into one of ours that names `where`, such as "resource group
    rg"."""
    try:
        yield
    except ClientAuthenticationError as e:  # CredentialUnavailableError, too
        raise NoCredentials(_unsigned(where, e)) from e
    except HttpResponseError as e:
        raise _of_response(where, e) from e
    except (ServiceRequestError, ServiceResponseError) as e:
        raise Unavailable(
            f"{where}: no connection ({type(e).__name__}); check the network, then run again"
        ) from e
    except AzureError as e:
        raise CloudError(f"{where}: {_first_line(str(e))}") from e


def existing(where: str, ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any | None:
    """What `ask` gives for the arguments; None where there is no such thing. Errors are
    translated."""
    with translated(where):
        try:
            return ask(*arguments, **options)
        except ResourceNotFoundError:
            return None


def _unsigned(where: str, e: AzureError) -> str:
    said = re.search(r"AADSTS\d+[^\n]*", str(e))
    why = f" ({said[0][:300]})" if said else ""
    return (
        f"{where}: nobody is signed in to Azure, or the sign-in has expired{why}. Run `az login`,"
        " or set AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of a service principal"
    )


def _of_response(where: str, e: HttpResponseError) -> CloudError:
    code = (e.error.code if e.error else None) or ""
    said = _first_line((e.error.message if e.error else None) or e.message or "")
    status = e.status_code or 0
    by_status = Unavailable if status >= 500 else _STATUSES.get(status, Refused)
    kind = _KINDS.get(code.lower(), by_status)
    if kind is NotAllowed and (action := _ACTION.search(said)):
        said = f"the permission {action[1]} is missing. {said}"
    return kind(f"{where}: {code or status}: {said}. What next: {_NEXT[kind]}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".")[:600]

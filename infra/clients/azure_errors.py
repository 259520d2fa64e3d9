"""What Azure's refusals mean: tables from an error code or a status to one of our errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from azure.core import exceptions
from azure.core.exceptions import AzureError, HttpResponseError

from onnxferry.infra import errors
from onnxferry.infra.errors import CloudError, NotAllowed, NotFound, QuotaExceeded, Unavailable

_NEXT = {
    NotAllowed: "ask the subscription's owner for a role, then wait some minutes and run again",
    NotFound: "check subscription, resource group, workspace, location and name in deploy.toml",
    QuotaExceeded: "ask for more quota, or choose another size, location or count in deploy.toml",
    errors.NameTaken: "choose another name: --name, or name in [model] of deploy.toml",
    Unavailable: "run the same command again; it goes on where it stopped",
    errors.Refused: "correct in deploy.toml the setting that the message names",
}
_CODES = {
    NotAllowed: "authorizationfailed linkedauthorizationfailed authorizationpermissionmismatch"
    " forbidden",
    NotFound: "resourcegroupnotfound resourcenotfound subscriptionnotfound notfound"
    " locationnotavailableforresourcetype invalidsubscriptionid",
    QuotaExceeded: "quotaexceeded outofquota skunotavailable outofcapacity",
    errors.NameTaken: "storageaccountalreadytaken websitewithgivennamealreadyexists",
    Unavailable: "toomanyrequests",
}
_KINDS = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_STATUSES: Mapping[int, type[CloudError]] = {403: NotAllowed, 404: NotFound, 429: Unavailable}
_ACTION = re.compile(r"perform action '([^']+)'")


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn an SDK's error in the block into ours, which names `where` ("resource group rg")."""
    try:
        yield
    except exceptions.ClientAuthenticationError as e:  # CredentialUnavailableError, too
        raise errors.NoCredentials(_unsigned(where, e)) from e
    except HttpResponseError as e:
        raise _of_response(where, e) from e
    except (exceptions.ServiceRequestError, exceptions.ServiceResponseError) as e:
        said = f"no connection ({type(e).__name__}); check the network, then run again"
        raise Unavailable(f"{where}: {said}") from e
    except AzureError as e:
        raise CloudError(f"{where}: {_first_line(str(e))}") from e


def existing(where: str, ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any | None:
    """What `ask` gives, with errors translated; None where there is no such thing."""
    with translated(where):
        try:
            return ask(*arguments, **options)
        except exceptions.ResourceNotFoundError:
            return None


def _unsigned(where: str, e: AzureError) -> str:
    said = re.search(r"AADSTS\d+[^\n]*", str(e))
    why = f" ({said[0][:300]})" if said else ""
    return (
        f"{where}: not signed in to Azure, or no longer{why}. Run `az login`, or set"
        " AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET of a service principal"
    )


def _of_response(where: str, e: HttpResponseError) -> CloudError:
    code = (e.error.code if e.error else None) or ""
    said = _first_line((e.error.message if e.error else None) or e.message or "")
    status = e.status_code or 0
    by_status = Unavailable if status >= 500 else _STATUSES.get(status, errors.Refused)
    kind = _KINDS.get(code.lower(), by_status)
    if kind is NotAllowed and (action := _ACTION.search(said)):
        said = f"the permission {action[1]} is missing. {said}"
    return kind(f"{where}: {code or status}: {said}. What next: {_NEXT[kind]}")


def _first_line(text: str) -> str:
    return text.strip().partition("\n")[0].rstrip(".")[:600]

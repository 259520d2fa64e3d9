"""What Azure's refusals mean: tables from an error code, words or a status to one of our errors."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from azure.core import exceptions
from azure.core.exceptions import AzureError, HttpResponseError

from onnxferry.infra import errors
from onnxferry.infra.clients.azure_causes import Refusal, refusal_of
from onnxferry.infra.clients.connections import broken, told
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
    " locationnotavailableforresourcetype invalidsubscriptionid containernotfound",
    QuotaExceeded: "quotaexceeded outofquota skunotavailable outofcapacity insufficientquota",
    errors.NameTaken: "storageaccountalreadytaken websitewithgivennamealreadyexists",
    Unavailable: "toomanyrequests",
    errors.Refused: "requestdisallowedbypolicy missingsubscriptionregistration scopelocked"
    " readonlydisabledsubscription skunotsupported",
}
_KINDS = {code: kind for kind, codes in _CODES.items() for code in codes.split()}
_WORDS = {  # where the code is BadRequest or the like
    "not enough quota": QuotaExceeded,
    "additional needed": QuotaExceeded,
    "exceeding approved": QuotaExceeded,
    "quota limit": QuotaExceeded,
    "authorization failed for template resource": NotAllowed,
}
_STATUSES: Mapping[int, type[CloudError]] = {403: NotAllowed, 404: NotFound, 429: Unavailable}
_ADVICE = {
    "requestdisallowedbypolicy": "choose what the policy allows (location, size, tags) in"
    " deploy.toml, or ask the subscription's owner to exempt the resource group",
    "missingsubscriptionregistration": "register the provider that the message names, with"
    " `az provider register --namespace NAME`, wait some minutes and run again",
    "skunotsupported": "choose another size (instance_type) or region in deploy.toml",
    "scopelocked": "remove the lock that the message names (`az lock list`), and run again",
    "readonlydisabledsubscription": "the subscription is disabled: its owner can enable it again",
}
_UNCONNECTED = re.compile(
    r"HTTPSConnection(Pool)?\(|Unable to connect to proxy|certificate verify failed"
)  # a sign-in keeps only the text of such an error
_ACTION = re.compile(r"perform action '([^']+)'")
_SIGN_IN = {  # what else than `az login` mends a sign-in
    "AADSTS7000222": "The application's secret has expired: make a new one with `az ad app"
    " credential reset --id $AZURE_CLIENT_ID`, and set AZURE_CLIENT_SECRET",
    "AADSTS7000215": "Set AZURE_CLIENT_SECRET to the application's secret (its value, not its id)",
    "AADSTS700016": "Check AZURE_CLIENT_ID and AZURE_TENANT_ID",
    "AADSTS90002": "Check AZURE_TENANT_ID, or tenant in deploy.toml",
}


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Turn an SDK's error in the block into ours, which names `where` ("resource group rg")."""
    try:
        yield
    except exceptions.ClientAuthenticationError as e:  # CredentialUnavailableError, too
        if _UNCONNECTED.search(str(e)) and (why := told(str(e))):
            raise Unavailable(f"{where}: no connection to sign in: {why}") from e
        raise errors.NoCredentials(_unsigned(where, e)) from e
    except HttpResponseError as e:
        raise refused(where, refusal_of(e), e.status_code or 0) from e
    except (exceptions.ServiceRequestError, exceptions.ServiceResponseError) as e:
        raise Unavailable(f"{where}: no connection: {broken(e)}") from e
    except AzureError as e:
        raise CloudError(
            f"{where}: {str(e).strip().partition(chr(10))[0].rstrip('.')[:600]}"
        ) from e


def existing(where: str, ask: Callable[..., Any], *arguments: Any, **options: Any) -> Any | None:
    """What `ask` gives, with errors translated; None where there is no such thing."""
    with translated(where):
        try:
            return ask(*arguments, **options)
        except exceptions.ResourceNotFoundError:
            return None


def refused(where: str, refusal: Refusal, status: int) -> CloudError:
    """The error for a refusal with `status`: by the innermost code that is known, else by what is
    said, else by the status."""
    kind, said = _kind(refusal, status), refusal.text
    action = _ACTION.search(said) if kind is NotAllowed else None
    if action:
        said = f"the permission {action[1]} is missing. {said}"
    known = (code.lower() for code in reversed(refusal.codes))
    advice = next((_ADVICE[code] for code in known if code in _ADVICE), _NEXT[kind])
    made = kind(f"{where}: {refusal.code or status}: {said}. What next: {advice}")
    if action and isinstance(made, NotAllowed):
        made.permission = action[1]
    return made


def _kind(refusal: Refusal, status: int) -> type[CloudError]:
    codes = [code.lower() for code in reversed(refusal.codes)]
    text = refusal.text.lower()
    by_code = (_KINDS[code] for code in codes if code in _KINDS)
    by_word = (kind for words, kind in _WORDS.items() if words in text)
    by_status = Unavailable if status >= 500 else _STATUSES.get(status, errors.Refused)
    return next(by_code, None) or next(by_word, by_status)


def _unsigned(where: str, e: AzureError) -> str:
    said = re.search(r"(AADSTS\d+)[^\n]*", str(e))
    why = f" ({said[0][:300]})" if said else ""
    tenant = re.search(r"must match the tenant 'https://[^/']+/([0-9a-fA-F-]{36})", str(e))
    login = f"`az login --tenant {tenant[1]}`" if tenant else "`az login`"
    own = "AZURE_TENANT_ID, AZURE_CLIENT_ID and AZURE_CLIENT_SECRET"
    advice = _SIGN_IN.get(said[1], "") if said else ""
    ways = f"{advice}, or unset {own} and run {login}" if advice else f"Run {login}, or set {own}"
    of = "" if advice else " of a service principal"
    return f"{where}: not signed in to Azure, or no longer{why}. {ways}{of}"

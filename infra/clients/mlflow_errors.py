"""What MLflow raises, as CloudErrors: by its error code, by what broke the connection, or by what
is missing here. Neither a password in a URI nor a token of the environment is shown."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from onnxferry.infra import errors
from onnxferry.infra.clients.connections import broken, told
from onnxferry.infra.errors import CloudError

_SIGN_IN = (
    "set MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (for"
    " databricks: DATABRICKS_HOST and DATABRICKS_TOKEN, or a profile)"
)
_KINDS: Mapping[str, tuple[type[CloudError], str]] = {  # what MLflow says -> the error, what next
    "RESOURCE_DOES_NOT_EXIST": (errors.NotFound, ""),
    "NOT_FOUND": (errors.NotFound, ""),
    "ENDPOINT_NOT_FOUND": (errors.NotFound, ""),
    "RESOURCE_ALREADY_EXISTS": (errors.NameTaken, ""),
    "ALREADY_EXISTS": (errors.NameTaken, ""),
    "UNAUTHENTICATED": (errors.NoCredentials, _SIGN_IN),
    "CUSTOMER_UNAUTHORIZED": (errors.NoCredentials, _SIGN_IN),
    "PERMISSION_DENIED": (errors.NotAllowed, "ask for it, or sign in as somebody who may"),
    "INVALID_PARAMETER_VALUE": (errors.Refused, ""),
    "BAD_REQUEST": (errors.Refused, ""),
    "INVALID_STATE": (errors.Refused, ""),
    "NOT_IMPLEMENTED": (errors.Refused, "this server has no such call"),
    "QUOTA_EXCEEDED": (errors.QuotaExceeded, ""),
    "RESOURCE_LIMIT_EXCEEDED": (errors.QuotaExceeded, ""),
}
_SETUP: Mapping[str, tuple[type[CloudError], str]] = {  # which running again does not mend
    "Reading Databricks credential configuration failed": (
        errors.NoCredentials,
        f"{_SIGN_IN}, and pip install databricks-sdk where it is missing",
    ),
    "unsupported URI": (
        errors.Refused,
        "correct tracking_uri or registry_uri, or install what knows it (azureml://:"
        " pip install azureml-mlflow)",
    ),
}
_PACKAGES = {"databricks": "databricks-sdk", "google": "google-cloud-storage"}
_OTHER = (errors.Unavailable, "run again; what is done is kept")
_STATUSES = {"401": "UNAUTHENTICATED", "403": "PERMISSION_DENIED", "404": "NOT_FOUND"}
_STATUS = re.compile(r"error code (\d{3}) != |too many (\d{3}) error responses")
_USER = re.compile(r"(?<=//)[^/@\s]+@")
_TOKENS = ("MLFLOW_TRACKING_TOKEN", "MLFLOW_TRACKING_PASSWORD", "DATABRICKS_TOKEN")
_SHOWN = 400  # characters of what MLflow said


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Raise what MLflow, requests or SQLAlchemy raises in the block as a CloudError at `where`."""
    try:
        yield
    except CloudError:
        raise
    except Exception as e:
        if not _known(e):
            raise
        raise cloud_error(where, e) from e


def cloud_error(where: str, e: Exception) -> CloudError:
    """The CloudError that says what `e` says."""
    if isinstance(e, ImportError):
        module = (e.name or "").partition(".")[0]
        wanted = _PACKAGES.get(module, module) or "what it names"
        return errors.Refused(f"{where}: {e}; pip install {wanted}")
    text, code = hidden(str(e)), getattr(e, "error_code", "")
    if found := _STATUS.search(text):  # beside it stands a page of HTML, or all of the address
        status = found[1] or found[2]
        text, code = f"status {status}", _STATUSES.get(status, code)
    for start, (kind, advice) in _SETUP.items():
        if start in text:
            return kind(f"{where}: {text.partition('. ')[0]:.{_SHOWN}}; {advice}")
    kind, advice = _KINDS.get(code, _OTHER)
    if kind is errors.Unavailable and (told(text) or isinstance(e, OSError)):
        return errors.Unavailable(f"{where}: {broken(e)}")
    said = text.removeprefix(f"{code}: ").rstrip(". \n")
    return kind(f"{where}: {said:.{_SHOWN}}{'; ' if advice else ''}{advice}")


def hidden(text: str) -> str:
    """`text` without the sign-in of a URI, and without the environment's tokens."""
    shown = _USER.sub("", text)
    for secret in filter(None, map(os.environ.get, _TOKENS)):
        shown = shown.replace(secret, "...")
    return shown


def _known(e: Exception) -> bool:
    """Whether it comes of the service, and is no defect of ours."""
    module = type(e).__module__.partition(".")[0]
    return (
        hasattr(e, "error_code") or isinstance(e, OSError | ImportError) or module == "sqlalchemy"
    )

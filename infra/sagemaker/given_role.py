"""A role that is given is looked at before anything is made: it must be there, and trust SageMaker.
What it may do shows when SageMaker reads the package."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotFound, Refused

_SERVICE = "sagemaker.amazonaws.com"
_UNSEEN = "whether SageMaker may assume the given role is not known"


def check(clients: AwsClients, role: str | None) -> None:
    """Raises NotFound where the given `role` (an ARN) is not there, and Refused where SageMaker may
    not assume it. Where that may not be asked, the clients' notes say so."""
    if not role:
        return
    named, where = {"RoleName": role.rpartition("/")[2]}, f"role {role}"

    def asked() -> Mapping[str, Any]:
        return clients.call_if_there("iam", "get_role", where, **named) or {}

    found = clients.if_allowed(asked, _UNSEEN)
    if found is not None:
        _check(where, found)


def _check(where: str, found: Mapping[str, Any]) -> None:
    other = "set another sagemaker.role, or leave it out: then one is made"
    if not found:
        raise NotFound(f"AWS, {where}, which sagemaker.role names: there is none; {other}")
    if not _trusted(found["Role"].get("AssumeRolePolicyDocument") or {}):
        raise Refused(
            f"AWS, {where}: its trust policy does not let {_SERVICE} assume it, so SageMaker cannot"
            f" serve with it. Allow sts:AssumeRole for the service {_SERVICE} there; or {other}"
        )


def _trusted(policy: Any) -> bool:
    document = json.loads(unquote(policy)) if isinstance(policy, str) else policy
    return any(map(_trusts, _listed(document.get("Statement", []))))


def _trusts(statement: Mapping[str, Any]) -> bool:
    principal = statement.get("Principal", {})
    services = _listed(principal.get("Service", []) if isinstance(principal, dict) else principal)
    actions = {action.lower() for action in _listed(statement.get("Action", []))}
    return (
        statement.get("Effect") == "Allow"
        and not {_SERVICE, "*"}.isdisjoint(services)
        and not {"sts:assumerole", "sts:*", "*"}.isdisjoint(actions)
    )


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]

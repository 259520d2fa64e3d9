"""The role that is made for an endpoint, as it is there. Only reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, Names, values_of
from onnxferry.infra.sagemaker.role_policy import is_our_policy


def has_role(clients: AwsClients, names: Names) -> bool:
    """Whether the role that we make is there. Raises NameTaken when it is not ours."""
    return described_role(clients, names) is not None


def described_role(clients: AwsClients, names: Names) -> Mapping[str, Any] | None:
    """The role that we make, as IAM describes it; None where it is not there. Raises NameTaken when
    it is not ours."""
    role = names.role
    found = clients.call_if_there("iam", "get_role", f"role {role}", RoleName=role)
    tags = values_of(found["Role"].get("Tags", [])) if found else {}
    if found and tags.get(ENDPOINT_TAG) != names.made:
        raise NameTaken(
            f"AWS: a role {role} exists that onnxferry did not make; set sagemaker.role to the"
            " role to use, or choose another endpoint name with --name"
        )
    return found["Role"] if found else None


def boundary_of(role: Mapping[str, Any]) -> str:
    """The ARN of the policy that bounds a role as IAM describes it; "" where none does."""
    return str(role.get("PermissionsBoundary", {}).get("PermissionsBoundaryArn", ""))


def role_policies(clients: AwsClients, names: Names) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of the policies that we gave the role that we make, which must be there, and of those
    that others did."""
    role, where = {"RoleName": names.role}, f"role {names.role}"
    inline = clients.pages("iam", "list_role_policies", "PolicyNames", where, **role)
    attached = clients.if_allowed(
        lambda: clients.pages(
            "iam", "list_attached_role_policies", "AttachedPolicies", where, **role
        ),
        f"whether a policy is attached to {where}, so that it cannot be deleted, is not known",
    )
    ours = sorted(name for name in inline if is_our_policy(name))
    others = {*inline, *(policy["PolicyName"] for policy in attached or ())} - {*ours}
    return tuple(ours), tuple(sorted(others))

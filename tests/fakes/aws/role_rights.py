"""What SageMaker does with the execution role of a model, and refuses where the role may not do it:
assume it, connect to a VPC, use a key."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import unquote

NETWORK = (
    *("CreateNetworkInterface", "CreateNetworkInterfacePermission", "DeleteNetworkInterface"),
    *("DeleteNetworkInterfacePermission", "DescribeNetworkInterfaces", "DescribeVpcs"),
    *("DescribeDhcpOptions", "DescribeSubnets", "DescribeSecurityGroups", "DescribeVpcEndpoints"),
)


def is_trusted(role: Any) -> bool:
    """Whether SageMaker may assume a role of moto's."""
    text = role.assume_role_policy_document
    document = json.loads(unquote(text)) if isinstance(text, str) else text
    return any(
        "sagemaker.amazonaws.com" in _listed(statement.get("Principal", {}).get("Service", []))
        for statement in document.get("Statement", [])
    )


def lacking_network(
    role: Any, vpc: Mapping[str, list[str]] | None, region: str, account: str
) -> str:
    """The first permission that the role lacks to connect containers to `vpc`; "" if none."""
    if not vpc:
        return ""
    here = f"arn:aws:ec2:{region}:{account}"
    interface = f"{here}:network-interface/eni-0a1b2c3d"
    subnets = [f"{here}:subnet/{one}" for one in vpc["Subnets"]]
    groups = [f"{here}:security-group/{one}" for one in vpc["SecurityGroupIds"]]
    places = {
        "CreateNetworkInterface": [interface, *subnets, *groups],
        "CreateNetworkInterfacePermission": [interface],
        "DeleteNetworkInterface": [interface],
    }
    needed = ((f"ec2:{name}", at) for name in NETWORK for at in places.get(name, ["*"]))
    for action, where in needed:
        if not any(_gives(s, action, where, subnets) for s in _statements(role)):
            return f"{action} on {where}"
    return ""


def lacking_key(role: Any, key: str, region: str, account: str) -> str:
    """The permission that the role lacks for disks under a KMS `key`; "" if none."""
    alias = key.rpartition(":")[2] if "alias/" in key else ""
    plain = f"arn:aws:kms:{region}:{account}:key/{key}"
    where = f"arn:aws:kms:{region}:{account}:key/of-{alias[6:]}" if alias else plain
    where = key if key.startswith("arn:") and not alias else where
    for action in ("kms:DescribeKey", "kms:CreateGrant"):
        if not any(_gives(s, action, where, [], alias) for s in _statements(role)):
            return f"{action} on {key}"
    return ""


def _statements(role: Any) -> Iterator[Mapping[str, Any]]:
    for text in role.policies.values():
        yield from json.loads(text)["Statement"]


def _gives(
    statement: Mapping[str, Any], action: str, where: str, subnets: list[str], alias: str = ""
) -> bool:
    named = any(fnmatchcase(where, pattern) for pattern in _listed(statement["Resource"]))
    return action in _listed(statement["Action"]) and named and _met(statement, subnets, alias)


def _met(statement: Mapping[str, Any], subnets: list[str], alias: str) -> bool:
    """Whether the statement's conditions hold: an interface is in one of `subnets`, a key has an
    `alias`, a grant is for a service of AWS."""
    checks: Mapping[tuple[str, str], Callable[[list[str]], bool]] = {
        ("ArnLike", "ec2:Subnet"): lambda known: all(
            any(fnmatchcase(one, pattern) for pattern in known) for one in subnets
        ),
        ("Bool", "kms:GrantIsForAWSResource"): lambda known: known == ["true"],
        ("ForAnyValue:StringEquals", "kms:ResourceAliases"): lambda known: alias in known,
    }
    return all(
        checks[operator, name](_listed(value))
        for operator, values in statement.get("Condition", {}).items()
        for name, value in values.items()
    )


def _listed(found: Any) -> list[Any]:
    return found if isinstance(found, list) else [found]

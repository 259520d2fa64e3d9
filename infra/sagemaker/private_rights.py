"""What the role needs besides, where an endpoint has a network or a key of yours: to connect
containers to subnets of your VPC, and to have disks and objects encrypted with your KMS key."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.policy_statements import allow, use_of_key
from onnxferry.infra.target_tables.sagemaker import Async, SageMaker, Serverless

# which have no resources in policies
_LOOKS = (
    "DescribeDhcpOptions DescribeNetworkInterfaces DescribeSecurityGroups DescribeSubnets"
    " DescribeVpcEndpoints DescribeVpcs DeleteNetworkInterfacePermission"
)
_OBJECTS = "Decrypt Encrypt GenerateDataKey"  # to put and to look at objects under a key


def private_rights(names: Names) -> Iterator[dict[str, Any]]:
    """The statements; none for a serverless endpoint, which has neither network nor disk key."""
    settings = names.settings
    if isinstance(settings.serving, Serverless):
        return
    if settings.network.subnets:
        yield from _network(names)
    if settings.kms_key:
        yield from _key(names, settings.kms_key)


def notes(settings: SageMaker) -> Iterator[str]:
    """What a plan says of the containers' connections."""
    if isinstance(settings.serving, Serverless):
        return
    if settings.network.subnets:
        yield (
            "SageMaker reads the package through your VPC, which needs a gateway endpoint for S3"
            " and, in each subnet, two free addresses for each instance."
        )
    if not settings.network.isolation:
        yield "The containers may connect to the network: network.isolation is off."


def _network(names: Names) -> Iterator[dict[str, Any]]:
    """SageMaker makes network interfaces in the subnets and gives them to its own account. A subnet
    or a group may be another account's, who shares it."""
    given = names.settings.network
    subnets = [names.arn("ec2", f"subnet/{one}", account="*") for one in given.subnets]
    groups = [
        names.arn("ec2", f"security-group/{one}", account="*") for one in given.security_groups
    ]
    interfaces = names.arn("ec2", "network-interface/*")
    yield allow([interfaces, *subnets, *groups], "ec2", "CreateNetworkInterface")
    there = {"ArnLike": {"ec2:Subnet": subnets}}
    own = allow(interfaces, "ec2", "CreateNetworkInterfacePermission DeleteNetworkInterface")
    yield {**own, "Condition": there}
    yield allow("*", "ec2", _LOOKS)


def _key(names: Names, key: str) -> Iterator[dict[str, Any]]:
    """A grant for the instances' disks, and the use of the key for what is put into S3."""
    yield use_of_key(names, key, "DescribeKey")
    grant, resource = use_of_key(names, key, "CreateGrant"), {"kms:GrantIsForAWSResource": "true"}
    yield {**grant, "Condition": {**grant.get("Condition", {}), "Bool": resource}}
    if isinstance(names.settings.serving, Async) or names.settings.capture:
        yield use_of_key(names, key, _OBJECTS)

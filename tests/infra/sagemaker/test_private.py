"""A network, a key and a role of yours: what the role that is made may do, and what bounds it; and
what is asked of one that is given."""

from __future__ import annotations

import json
from typing import Any

import boto3
import pydantic
import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import CloudError, NotFound, Refused
from onnxferry.infra.plan import Action
from onnxferry.infra.sagemaker.role_policy import role_policy
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.conftest import NAME, cloud, deploy, settings_of
from tests.infra.sagemaker.test_flow import ALLOW, TRUST

ROLE = f"onnxferry-{NAME}-{REGION}"
SUBNETS, GROUPS = ("subnet-0a1b2c3d", "subnet-0a1b2c3e"), ("sg-0a1b2c3d",)
VPC = {"subnets": SUBNETS, "security_groups": GROUPS}
KEYS = (
    "0a1b2c3d-0000-0000-0000-000000000000",
    f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0a1b2c3d-0000-0000-0000-000000000000",
    "alias/ours",
    f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/ours",
)
BOUNDS = [f"arn:aws:iam::{ACCOUNT}:policy/{name}" for name in ("first", "second")]


def statements(aws: AwsServer) -> list[dict[str, Any]]:
    """Of all policies of the role: one of before stays for the version before."""
    return [s for text in aws.roles[ROLE].policies.values() for s in json.loads(text)["Statement"]]


def actions(aws: AwsServer, service: str) -> set[str]:
    found = {action for statement in statements(aws) for action in statement["Action"]}
    return {action for action in found if action.startswith(f"{service}:")}


def bound(aws: AwsServer) -> str:
    found = aws.roles[ROLE].permissions_boundary
    return str(found["PermissionsBoundaryArn"] if isinstance(found, dict) else found)


def test_by_default_the_container_reaches_nothing(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    (model,) = aws.sagemaker._models.values()
    assert model.enable_network_isolation is True
    assert not model.vpc_config
    assert actions(aws, "ec2") == actions(aws, "kms") == set()
    assert not [n for n in cloud().plan_deploy(bundles[0]).summary.notes if "network" in n]


def test_isolation_can_be_left(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0], network={"isolation": False})
    assert [m.enable_network_isolation for m in aws.sagemaker._models.values()] == [False]
    notes = made.plan_deploy(bundles[0]).summary.notes
    assert "The containers may connect to the network: network.isolation is off." in notes


def test_a_network_of_yours(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    made = cloud(network=VPC)
    planned = made.plan_deploy(bundles[0])
    changed = {(s.action, s.resource) for s in planned.changes}
    assert {(Action.UPDATE, "role"), (Action.CREATE, "model")} <= changed
    assert any("gateway endpoint for S3" in note for note in planned.summary.notes)
    apply(planned, made)
    models = [m for m in aws.sagemaker._models.values() if m.vpc_config]
    assert [m.vpc_config for m in models] == [
        {"Subnets": list(SUBNETS), "SecurityGroupIds": list(GROUPS)}
    ]
    assert made.plan_deploy(bundles[0]).changes == ()
    assert made.status().state == "InService"


def test_the_rights_are_for_those_subnets_alone(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0], network=VPC)
    found = [s for s in statements(aws) if "ec2" in s["Action"][0]]
    wide = [s for s in found if s["Resource"] == "*"]
    (looks,) = wide
    changing = {"ec2:DeleteNetworkInterfacePermission"}  # which has no resource in policies
    assert all("Describe" in action for action in {*looks["Action"]} - changing)
    made = next(s for s in found if "ec2:CreateNetworkInterface" in s["Action"])
    assert [at.rpartition(":")[2] for at in made["Resource"]] == [
        "network-interface/*",
        *(f"subnet/{one}" for one in SUBNETS),
        *(f"security-group/{one}" for one in GROUPS),
    ]
    deleted = next(s for s in found if "ec2:DeleteNetworkInterface" in s["Action"])
    assert deleted["Condition"]["ArnLike"]["ec2:Subnet"] == [
        f"arn:aws:ec2:{REGION}:*:subnet/{one}" for one in SUBNETS
    ]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_of_yours(aws: AwsServer, bundles: tuple[Bundle, ...], key: str) -> None:
    made = deploy(bundles[0], kms_key=key)
    (config,) = aws.sagemaker.endpoint_configs.values()
    assert config.kms_key_id == key
    assert actions(aws, "kms") == {"kms:CreateGrant", "kms:DescribeKey"}
    grant = next(s for s in statements(aws) if "kms:CreateGrant" in s["Action"])
    assert grant["Condition"]["Bool"] == {"kms:GrantIsForAWSResource": "true"}
    assert grant["Resource"] != "*"
    assert made.plan_deploy(bundles[0]).changes == ()


def test_objects_under_the_key_need_more(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0], kms_key=KEYS[0], capture={})
    assert {"kms:Encrypt", "kms:Decrypt", "kms:GenerateDataKey"} <= actions(aws, "kms")


@pytest.mark.usefixtures("aws")
def test_a_serverless_endpoint_has_neither() -> None:
    text = role_policy(cloud(mode="serverless", kms_key=KEYS[0]).names)["PolicyDocument"]
    assert "kms:" not in text
    assert "ec2:" not in text


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"network": {"subnets": SUBNETS}}, "subnets and security_groups go together"),
        (
            {"network": {"subnets": SUBNETS[:1], "security_groups": GROUPS}},
            "subnets has one subnet: AWS asks for two, in different availability zones",
        ),
        ({"network": {"subnets": ["net-1"], "security_groups": GROUPS}}, "subnet-"),
        (
            {"kms_key": KEYS[0], "instance_type": "ml.m5d.large"},
            "ml.m5d.large has disks of its own, for which AWS takes no key: leave kms_key out",
        ),
        ({"kms_key": KEYS[0], "instance_type": "ml.g5.xlarge"}, "has disks of its own"),
    ],
)
def test_what_cannot_be_is_refused_at_once(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=said):
        settings_of(**settings)


@pytest.mark.parametrize("kind", ["ml.m5.large", "ml.c5n.xlarge", "ml.c7i.large", "ml.inf1.xlarge"])
def test_a_key_goes_with_plain_instances(kind: str) -> None:
    assert settings_of(kms_key=KEYS[0], instance_type=kind).kms_key


def test_a_boundary(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0], permissions_boundary=BOUNDS[0])
    assert bound(aws) == BOUNDS[0]
    assert made.plan_deploy(bundles[0]).changes == ()
    other = cloud(permissions_boundary=BOUNDS[1])
    planned = other.plan_deploy(bundles[0])
    assert [(s.action, s.resource) for s in planned.changes] == [(Action.UPDATE, "role")]
    apply(planned, other)
    assert bound(aws) == BOUNDS[1]
    assert other.plan_deploy(bundles[0]).changes == ()
    # somebody's rule stays where deploy.toml does not name one
    assert cloud().plan_deploy(bundles[0]).changes == ()


def given(document: str) -> str:
    iam = boto3.client("iam", region_name=REGION)
    role = iam.create_role(RoleName="given", Path="/ml/", AssumeRolePolicyDocument=document)["Role"]
    iam.put_role_policy(RoleName="given", PolicyName="p", PolicyDocument=ALLOW)
    return str(role["Arn"])


def test_a_given_role_that_is_not_there(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    absent = f"arn:aws:iam::{ACCOUNT}:role/none"
    with pytest.raises(NotFound, match=r"which sagemaker.role names: there is none; set another"):
        cloud(role=absent).plan_deploy(bundles[0])


@pytest.mark.parametrize(
    "document",
    [
        "{}",
        TRUST.replace("sagemaker", "lambda"),
        TRUST.replace("Allow", "Deny"),
        TRUST.replace("sts:AssumeRole", "sts:TagSession"),
    ],
)
def test_a_given_role_that_does_not_trust_sagemaker(
    aws: AwsServer, bundles: tuple[Bundle, ...], document: str
) -> None:
    role = given(document)
    with pytest.raises(Refused, match=r"does not let sagemaker.amazonaws.com assume it"):
        cloud(role=role).plan_deploy(bundles[0])
    assert [call.operation for call in aws.calls if not call.reads] == [
        "CreateRole",
        "PutRolePolicy",
    ]


def test_a_given_role_is_taken_as_it_is(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    listed = json.loads(TRUST)
    services = ["ec2.amazonaws.com", "sagemaker.amazonaws.com"]
    listed["Statement"][0]["Principal"]["Service"] = services
    role = given(json.dumps(listed))
    made = deploy(bundles[0], role=role)
    assert made.status().state == "InService"
    assert list(aws.roles) == ["given"]


def test_a_given_role_that_may_not_be_looked_at(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    role = given(TRUST)
    said = "User: x is not authorized to perform: iam:GetRole on resource: y"
    aws.refusals["GetRole"] = Refusal("AccessDenied", said, 403)
    notes = cloud(role=role).plan_deploy(bundles[0]).summary.notes
    assert any("whether SageMaker may assume the given role is not known" in n for n in notes)
    deploy(bundles[0], role=role)


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        ({"network": VPC}, "ec2:CreateNetworkInterface on "),
        ({"kms_key": KEYS[0]}, "kms:DescribeKey on "),
    ],
)
def test_what_a_given_role_lacks_is_said_and_nothing_is_left(
    aws: AwsServer, bundles: tuple[Bundle, ...], settings: dict[str, Any], lacking: str
) -> None:
    with pytest.raises(Refused, match=f"the permission {lacking}"):
        deploy(bundles[0], role=given(TRUST), **settings)
    assert not aws.endpoints
    assert not aws.sagemaker._models
    assert not aws.sagemaker.endpoint_configs


def test_a_role_that_was_half_changed_is_finished(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    settings: dict[str, Any] = {"permissions_boundary": BOUNDS[0], "network": VPC}
    aws.refusals["PutRolePolicy"] = Refusal("ServiceFailure", "try again", 500)
    with pytest.raises(CloudError):
        deploy(bundles[0], **settings)
    assert bound(aws) == BOUNDS[0]
    assert cloud().status().state == "InService"
    aws.refusals.clear()
    made = deploy(bundles[0], **settings)
    assert actions(aws, "ec2")
    assert made.plan_deploy(bundles[0]).changes == ()

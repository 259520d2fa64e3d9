"""Whom a pipeline signs in as: roles that trust one repository's environments, with the permissions
of the files in infra/policies, from a template that CloudFormation deploys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
from cfnlint.api import lint_all
from moto import mock_aws

from onnxferry.infra.ci import aws
from tests.fakes.aws import ACCOUNT, REGION
from tests.infra.ci.pipelines import BESIDE, GIVEN, ORGANIZATION, ci, document, repository
from tests.infra.policies.documents import FOLDER

PROVIDER = pytest.mark.parametrize("provider", GIVEN)
ISSUERS = {
    "github": ("token.actions.githubusercontent.com", "sts.amazonaws.com"),
    "azure-devops": (f"vstoken.dev.azure.com/{ORGANIZATION}", "api://AzureADTokenExchange"),
}
SUBJECTS = {
    ("github", "reader"): "repo:octo/squad:environment:Squad-sagemaker-plan",
    ("github", "deployer"): "repo:octo/squad:environment:Squad-sagemaker",
    ("azure-devops", "reader"): "sc://octo/Question answering/Squad-sagemaker-plan",
    ("azure-devops", "deployer"): "sc://octo/Question answering/Squad-sagemaker",
}


@PROVIDER
@pytest.mark.parametrize("role", ["reader", "deployer"])
def test_a_role_trusts_the_tokens_of_one_environment(
    tmp_path: Path, provider: str, role: str
) -> None:
    ci(repository(tmp_path, "sagemaker"), "sagemaker", provider)
    (statement,) = document(tmp_path, provider, f"{role}-trust.json")["Statement"]
    url, audience = ISSUERS[provider]
    assert statement["Principal"] == {"Federated": f"arn:aws:iam::{ACCOUNT}:oidc-provider/{url}"}
    subject = SUBJECTS[provider, role]
    assert statement["Condition"] == {
        "StringEquals": {f"{url}:aud": audience, f"{url}:sub": subject}
    }


def test_a_repository_may_be_named_by_its_ids(tmp_path: Path) -> None:
    flags = ("--repository", "octo@12/squad@345")
    ci(repository(tmp_path, "sagemaker"), "sagemaker", "github", *flags)
    (statement,) = document(tmp_path, "github", "deployer-trust.json")["Statement"]
    subjects = [v for k, v in statement["Condition"]["StringEquals"].items() if k.endswith("sub")]
    assert subjects == ["repo:octo@12/squad@345:environment:Squad-sagemaker"]
    setup = (tmp_path / ".github" / "Squad-sagemaker" / "SETUP.md").read_text(encoding="utf-8")
    assert "repos/octo/squad/environments" in setup


def test_a_role_may_what_the_file_of_its_kind_says(tmp_path: Path) -> None:
    """Filled in as docs/deploy/permissions.md says."""
    ci(repository(tmp_path, "sagemaker"), "sagemaker", "github")
    for role in ("reader", "deployer"):
        text = (FOLDER / f"sagemaker-{role}.json").read_text(encoding="utf-8")
        for word, value in (("ACCOUNT", ACCOUNT), ("REGION", REGION), ("NAME", "squad")):
            text = text.replace(word, value)
        assert document(tmp_path, "github", f"{role}-policy.json") == json.loads(text)


GIVEN_ROLE = f"arn:aws:iam::{ACCOUNT}:role/serving"


def of(found: Any, action: str) -> set[str]:
    return {r for s in found["Statement"] if action in s["Action"] for r in s["Resource"]}


def test_what_is_given_is_used_and_not_made(tmp_path: Path) -> None:
    bucket = 'bucket = "theirs"\nprefix = "models/here"\n'
    role = f'role = "{GIVEN_ROLE}"\n'
    found = {}
    for name, more in {"both": bucket + role, "bucket": bucket, "role": role, "none": ""}.items():
        root = repository(tmp_path / name, "sagemaker", more=more)
        ci(root, "sagemaker", "github")
        found[name] = document(root, "github", "deployer-policy.json")
    made = f"arn:aws:iam::{ACCOUNT}:role/onnxferry-squad-{REGION}"
    assert of(found["both"], "iam:PassRole") == of(found["role"], "iam:PassRole") == {GIVEN_ROLE}
    assert of(found["bucket"], "iam:PassRole") == of(found["none"], "iam:PassRole") == {made}
    assert of(found["role"], "iam:CreateRole") == of(found["both"], "iam:CreateRole") == set()
    assert of(found["role"], "s3:CreateBucket") == {f"arn:aws:s3:::onnxferry-{ACCOUNT}-{REGION}"}
    assert of(found["bucket"], "s3:CreateBucket") == set()
    assert of(found["both"], "s3:PutObject") == {"arn:aws:s3:::theirs/models/here/squad/*"}


ID = "0a1b2c3d-0000-4000-8000-0a1b2c3d4e5f"
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/{ID}"
ALIAS = {"ForAnyValue:StringEquals": {"kms:ResourceAliases": "alias/ours"}}


@pytest.mark.parametrize("given", ["", f'role = "{GIVEN_ROLE}"\nbucket = "theirs"\n'])
@pytest.mark.parametrize(
    ("key", "resource", "condition"),
    [
        (KEY, KEY, None),
        (ID, KEY, None),
        ("alias/ours", f"arn:aws:kms:{REGION}:{ACCOUNT}:key/*", ALIAS),
        ("", None, None),
    ],
)
def test_a_deployer_may_grant_the_use_of_the_key(
    tmp_path: Path, given: str, key: str, resource: str | None, condition: Any
) -> None:
    more = given + (f'kms_key = "{key}"\n' if key else "")
    ci(repository(tmp_path, "sagemaker", more=more), "sagemaker", "github")
    found = document(tmp_path, "github", "deployer-policy.json")["Statement"]
    about = [one for one in found if one["Sid"] == "Key"]
    expected = [] if resource is None else [(["kms:CreateGrant"], [resource], condition)]
    assert [(s["Action"], s["Resource"], s.get("Condition")) for s in about] == expected
    read = document(tmp_path, "github", "reader-policy.json")
    assert "KEY" not in json.dumps([found, read])
    assert not of(read, "kms:CreateGrant")


def test_a_serverless_endpoint_has_no_key(tmp_path: Path) -> None:
    more = f'kms_key = "{KEY}"\n[sagemaker.serving]\nmode = "serverless"\n'
    ci(repository(tmp_path, "sagemaker", more=more), "sagemaker", "github")
    assert "kms" not in json.dumps(document(tmp_path, "github", "deployer-policy.json"))


def test_roles_are_made_only_within_the_boundary(tmp_path: Path) -> None:
    boundary = f"arn:aws:iam::{ACCOUNT}:policy/bound"
    more = f'permissions_boundary = "{boundary}"\n'
    root = repository(tmp_path, "sagemaker", more=more)
    ci(root, "sagemaker", "github")
    found = document(root, "github", "deployer-policy.json")["Statement"]
    condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    for action in ("iam:CreateRole", "iam:PutRolePolicy"):
        holding = [each for each in found if action in each["Action"]]
        assert holding
        assert all(each["Condition"] == condition for each in holding)
    (deleting,) = (each for each in found if "iam:DeleteRole" in each["Action"])
    assert "Condition" not in deleting


def test_another_prefix_in_the_bucket_that_is_made(tmp_path: Path) -> None:
    ci(repository(tmp_path, "sagemaker", more='prefix = "ml"\n'), "sagemaker", "github")
    found = document(tmp_path, "github", "deployer-policy.json")
    assert of(found, "s3:PutObject") == {f"arn:aws:s3:::onnxferry-{ACCOUNT}-{REGION}/ml/squad/*"}


def test_the_partition_is_the_regions(tmp_path: Path) -> None:
    root = repository(tmp_path, "sagemaker")
    file = root / "deploy.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(REGION, "us-gov-west-1"))
    ci(root, "sagemaker", "github")
    for path in (root / ".github").rglob("*"):
        assert path.is_dir() or "arn:aws:" not in path.read_text(encoding="utf-8")


def test_what_is_too_long_for_one_policy_is_several() -> None:
    statements = [
        {"Sid": f"S{n}", "Effect": "Allow", "Action": ["a:B"] * 30, "Resource": ["*"]}
        for n in range(60)
    ]
    whole = {"Version": "2012-10-17", "Statement": statements}
    found = aws.parts(whole)
    assert [s for part in found for s in part["Statement"]] == statements
    lengths = [len(json.dumps(part, separators=(",", ":"))) for part in found]
    assert len(found) > 1
    assert max(lengths) <= 6144


@PROVIDER
@pytest.mark.filterwarnings("ignore:Tried to parse AWS..IAM..OIDCProvider")  # it is left out
@mock_aws
def test_the_template_is_linted_and_deployed(tmp_path: Path, provider: str) -> None:
    ci(repository(tmp_path, "sagemaker"), "sagemaker", provider)
    path = tmp_path / BESIDE[provider] / "Squad-sagemaker" / "roles.json"
    template = path.read_text(encoding="utf-8")
    found = [match for match in lint_all(template) if match.rule.severity != "informational"]
    assert not found
    stacks, iam = boto3.client("cloudformation", REGION), boto3.client("iam", REGION)
    stacks.create_stack(
        StackName="onnxferry-Squad-ci",
        TemplateBody=template,
        Capabilities=["CAPABILITY_NAMED_IAM"],
        Parameters=[{"ParameterKey": "IdentityProvider", "ParameterValue": "create"}],
    )
    names = {role: f"onnxferry-Squad-{REGION}-{word}" for role, word in WORDS.items()}
    for role, name in names.items():
        made = iam.get_role(RoleName=name)["Role"]
        trusted = made["AssumeRolePolicyDocument"]
        trusted = json.loads(unquote(trusted)) if isinstance(trusted, str) else trusted
        assert trusted == document(tmp_path, provider, f"{role}-trust.json")
        attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
        allowed = [statement for each in attached for statement in statements(iam, each)]
        expected = document(tmp_path, provider, f"{role}-policy.json")["Statement"]
        assert sorted(map(str, allowed)) == sorted(map(str, expected))


WORDS = {"reader": "plan", "deployer": "deploy"}


def statements(iam: Any, attached: Any) -> Any:
    version = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=attached["PolicyArn"], VersionId=version)
    return found["PolicyVersion"]["Document"]["Statement"]


def test_names_of_roles_are_as_long_as_iam_takes(tmp_path: Path) -> None:
    longest = "a" * 32
    root = repository(tmp_path, "sagemaker", f'[model]\nname = "{longest}"\npath = "m"\n')
    file = root / "deploy.toml"
    file.write_text(file.read_text(encoding="utf-8").replace(REGION, "ap-southeast-1"))
    ci(root, "sagemaker", "github")
    made = document(root, "github", "roles.json", f"{longest}-sagemaker")["Resources"]
    names = [r["Properties"]["RoleName"] for r in made.values() if r["Type"] == "AWS::IAM::Role"]
    assert [len(name) <= 64 for name in names] == [True, True]

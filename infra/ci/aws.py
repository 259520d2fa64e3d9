"""Whom the pipeline signs in as on AWS: a role that may look, for its plans, and one that may
deploy. Each trusts the tokens of one environment of one repository, and has the permissions of its
file in infra/policies. Both are a CloudFormation template, which one command deploys."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxferry.infra.ci.delivery import DeliveryPipeline
from onnxferry.infra.policies import ROLES
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.policy_statements import use_of_key
from onnxferry.infra.target_tables.sagemaker import Serverless

_FOLDER = Path(__file__).parents[1] / "policies"
_PARTITIONS = {"cn-": "aws-cn", "us-gov-": "aws-us-gov"}
_MOST = 6144  # characters of a managed policy, without white space
_BOUNDED = ("iam:CreateRole", "iam:PutRolePolicy", "iam:PutRolePermissionsBoundary")
_BUCKET = "onnxferry-ACCOUNT-REGION"
_PLACE = re.compile(r"\b(ACCOUNT|REGION|NAME|BUCKET|PREFIX|ROLE)\b")
_WORDS = {"reader": "plan", "deployer": "deploy"}
Document = dict[str, Any]


def role_name(pipeline: DeliveryPipeline, role: str) -> str:
    """At most 64 characters, as IAM takes."""
    return f"onnxferry-{pipeline.name}-{pipeline.settings.region}-{_WORDS[role]}"


def role_arn(pipeline: DeliveryPipeline, role: str) -> str:
    """Of the role of the jobs that may look, or deploy."""
    return f"arn:{_partition(pipeline)}:iam::{pipeline.account}:role/{role_name(pipeline, role)}"


def issuer(pipeline: DeliveryPipeline) -> tuple[str, str]:
    """Who signs the tokens, without https://, and for whom (the audience)."""
    if pipeline.provider == "github":
        return "token.actions.githubusercontent.com", "sts.amazonaws.com"
    return f"vstoken.dev.azure.com/{pipeline.organization}", "api://AzureADTokenExchange"


def subject(pipeline: DeliveryPipeline, role: str) -> str:
    """What the tokens of a role's jobs say of themselves, and no others' tokens."""
    environment = pipeline.environments[role]
    if pipeline.provider == "github":
        return f"repo:{pipeline.repository}:environment:{environment}"
    return f"sc://{pipeline.repository}/{environment}"


def trust(pipeline: DeliveryPipeline, role: str) -> Document:
    """The role's trust policy."""
    url, audience = issuer(pipeline)
    same = {f"{url}:aud": audience, f"{url}:sub": subject(pipeline, role)}
    provider = f"arn:{_partition(pipeline)}:iam::{pipeline.account}:oidc-provider/{url}"
    statement = {
        "Effect": "Allow",
        "Principal": {"Federated": provider},
        "Action": "sts:AssumeRoleWithWebIdentity",
        "Condition": {"StringEquals": same},
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def policy(pipeline: DeliveryPipeline, role: str) -> Document:
    """What the role may do: the files of infra/policies that fit, with the pipeline's values."""
    settings = pipeline.settings
    document = _of_file("sagemaker-given-bucket" if settings.bucket else "sagemaker", role)
    if settings.role:
        given = _of_file("sagemaker-given", role)
        document = given if settings.bucket else _without_role(document, given)
    if settings.scaling and role == "deployer":
        scaling = _of_file("sagemaker", "deployer-scaling")["Statement"]
        document = {**document, "Statement": [*document["Statement"], *scaling]}
    kept = [one for one in document["Statement"] if one["Sid"] != "Key"]
    document = {**document, "Statement": [*kept, *_key(pipeline, role)]}
    values = {
        "ACCOUNT": pipeline.account,
        "REGION": settings.region,
        "NAME": pipeline.name.lower(),
        "BUCKET": settings.bucket or "",
        "PREFIX": settings.prefix,
        "ROLE": settings.role or "",
    }
    text = json.dumps(document).replace("arn:aws:", f"arn:{_partition(pipeline)}:")
    text = text.replace(f"{_BUCKET}/onnxferry/", f"{_BUCKET}/PREFIX/")
    filled: Document = json.loads(re.sub(_PLACE, lambda found: values[found[0]], text))
    return _bounded(filled, settings.permissions_boundary)


def _key(pipeline: DeliveryPipeline, role: str) -> Iterator[Document]:
    """What the statement Key of the files gives, where there is a key: SageMaker asks it of who
    deploys, whether the role is made or given."""
    settings = pipeline.settings
    if role != "deployer" or not settings.kms_key or isinstance(settings.serving, Serverless):
        return
    account, region = pipeline.account, str(settings.region)
    names = Names(pipeline.name, region, account, _partition(pipeline), settings)
    found = use_of_key(names, settings.kms_key, "CreateGrant")
    yield {"Sid": "Key", **found, "Resource": [found["Resource"]]}


def _bounded(document: Document, boundary: str | None) -> Document:
    """Who makes roles and says what these may do, only where `boundary` bounds them: otherwise a
    pipeline could give more than it has."""
    if not boundary:
        return document
    condition = {"StringEquals": {"iam:PermissionsBoundary": boundary}}
    made: list[Document] = []
    for statement in document["Statement"]:
        some = [action for action in statement["Action"] if action in _BOUNDED]
        others = [action for action in statement["Action"] if action not in _BOUNDED]
        if others:
            made.append({**statement, "Action": others})
        if some:
            bound = {**statement, "Sid": f"Bounded{statement['Sid']}", "Action": some}
            made.append({**bound, "Condition": condition})
    return {**document, "Statement": made}


def _of_file(name: str, role: str) -> Document:
    found: Document = json.loads((_FOLDER / f"{name}-{role}.json").read_text(encoding="utf-8"))
    return found


def _without_role(document: Document, given: Document) -> Document:
    """For a role that is given, in the bucket that is made: it is passed, and never changed."""
    of_role = ("Role", "PassedRole")
    kept = [s for s in document["Statement"] if s["Sid"] not in of_role]
    passed = [s for s in given["Statement"] if s["Sid"] in of_role]
    return {**document, "Statement": [*kept, *passed]}


def template(pipeline: DeliveryPipeline) -> Document:
    """The CloudFormation template of the roles, and of the identity provider that tells AWS who
    signs the tokens, which an account has once."""
    url, audience = issuer(pipeline)
    provider = {
        "Type": "AWS::IAM::OIDCProvider",
        "Condition": "MakesProvider",
        "DeletionPolicy": "Retain",
        "UpdateReplacePolicy": "Retain",
        "Properties": {"Url": f"https://{url}", "ClientIdList": [audience]},
    }
    known = {"Type": "String", "Default": "create", "AllowedValues": ["create", "exists"]}
    described = f"Whether to make the IAM identity provider of {url}, or it exists in the account"
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"The roles of the pipeline {pipeline.title} of {pipeline.repository}",
        "Parameters": {"IdentityProvider": {**known, "Description": described}},
        "Conditions": {"MakesProvider": {"Fn::Equals": [{"Ref": "IdentityProvider"}, "create"]}},
        "Resources": {"Provider": provider, **dict(_resources(pipeline))},
    }


def _resources(pipeline: DeliveryPipeline) -> Iterator[tuple[str, Document]]:
    for role in ROLES:
        logical = f"{role.capitalize()}Role"
        properties = {
            "RoleName": role_name(pipeline, role),
            "Description": f"{pipeline.environments[role]} of {pipeline.repository}",
            "AssumeRolePolicyDocument": trust(pipeline, role),
            "MaxSessionDuration": pipeline.seconds,
        }
        yield logical, {"Type": "AWS::IAM::Role", "Properties": properties}
        for number, document in enumerate(parts(policy(pipeline, role)), 1):
            attached = {"PolicyDocument": document, "Roles": [{"Ref": logical}]}
            made = {"Type": "AWS::IAM::ManagedPolicy", "Properties": attached}
            yield f"{role.capitalize()}Policy{number}", made


def parts(document: Mapping[str, Any]) -> list[Document]:
    """`document` as several that IAM takes, where it is too long for one."""
    made: list[list[Any]] = [[]]
    for statement in document["Statement"]:
        if len(_compact({**document, "Statement": [*made[-1], statement]})) > _MOST:
            made.append([])
        made[-1].append(statement)
    return [{**document, "Statement": statements} for statements in made]


def _compact(document: Mapping[str, Any]) -> str:
    return json.dumps(document, separators=(",", ":"))


def _partition(pipeline: DeliveryPipeline) -> str:
    region = pipeline.settings.region
    return next((name for start, name in _PARTITIONS.items() if region.startswith(start)), "aws")


def files(pipeline: DeliveryPipeline) -> dict[str, str]:
    """The template, and what is in it: each role's trust policy, and what it may do."""
    found: dict[str, Document] = {"roles.json": template(pipeline)}
    for role in ROLES:
        found[f"{role}-trust.json"] = trust(pipeline, role)
        found[f"{role}-policy.json"] = policy(pipeline, role)
    return {name: json.dumps(document, indent=2) + "\n" for name, document in found.items()}


def commands(pipeline: DeliveryPipeline, folder: str) -> str:
    """What makes the roles."""
    url, _ = issuer(pipeline)
    region = pipeline.settings.region
    deploy = f"""aws cloudformation deploy --region {region} \\
    --stack-name onnxferry-{pipeline.name}-{region}-ci \\
    --template-file {folder}/roles.json --capabilities CAPABILITY_NAMED_IAM"""
    return f"""\
## AWS account {pipeline.account}

```bash
{deploy}
```

It makes two roles, and the identity provider of `{url}`. An account has that provider once:
where `aws iam list-open-id-connect-providers` shows it already, add
`--parameter-overrides IdentityProvider=exists`. Run again, the command changes what differs.

| role | trusted for | may |
| --- | --- | --- |
| `{role_name(pipeline, "reader")}` | `{subject(pipeline, "reader")}` | look: `reader-policy.json` |
| `{role_name(pipeline, "deployer")}` | `{subject(pipeline, "deployer")}` | deploy: \
`deployer-policy.json` |
"""

"""What is not ours stays as it is: objects, buckets and roles with names like ours."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import Any

import boto3
import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, NotAllowed
from onnxferry.infra.plan_text import plan_text
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.conftest import NAME, cloud, deploy

PLACE = {"CreateBucketConfiguration": {"LocationConstraint": REGION}}
SHA = "0" * 64
ALLOW = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}],
    }
)
KEY = f"arn:aws:kms:{REGION}:{ACCOUNT}:key/0f-1"


def s3() -> Any:
    return client("s3", os.environ["AWS_ENDPOINT_URL"])


def iam() -> Any:
    return client("iam", os.environ["AWS_ENDPOINT_URL"])


@cache
def client(service: str, url: str) -> Any:
    """Made once: that takes longer than a flow."""
    return boto3.client(service, region_name=REGION, endpoint_url=url)


def bucket(name: str = "shared", *, versioned: bool = False) -> str:
    s3().create_bucket(Bucket=name, **PLACE)
    if versioned:
        enabled = {"Status": "Enabled"}
        s3().put_bucket_versioning(Bucket=name, VersioningConfiguration=enabled)
    return name


def put(*keys: str, **metadata: str) -> None:
    for key in keys:
        s3().put_object(Bucket="shared", Key=key, Body=b"theirs", Metadata=metadata)


def policy(name: str) -> str:
    """The ARN of a managed policy."""
    made = iam().create_policy(PolicyName=name, PolicyDocument=ALLOW)
    return str(made["Policy"]["Arn"])


def delete(**settings: Any) -> None:
    made = cloud(**settings)
    apply(made.plan_delete(), made)


def run_all(bundles: tuple[Bundle, ...], **settings: Any) -> None:
    for each in bundles:
        deploy(each, **settings)
    made = cloud(**settings)
    apply(made.plan_rollback(), made)
    delete(**settings)


def test_objects_beside_the_packages_stay(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    theirs = [
        f"models/{NAME}/README.md",
        f"models/{NAME}/train/run1/model.safetensors",
        f"models/{NAME}/{SHA}/model.tar.gz",
        f"models/{NAME}/{ACCOUNT}-{REGION}/{SHA}/model.tar.gz",
        f"models/{NAME}/{ACCOUNT}-{REGION}/notes.txt",
    ]
    bucket()
    put(*theirs)
    run_all(bundles[:2], bucket="shared", prefix="models")
    assert aws.keys["shared"] == sorted(theirs)


def test_accounts_and_regions_share_a_bucket(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    bucket()
    others = []
    for place in (f"210987654321-{REGION}", f"{ACCOUNT}-eu-north-1"):
        account, _, region = place.partition("-")
        others.append(f"onnxferry/{NAME}/{place}/{SHA}/model.tar.gz")
        mark = {"endpoint": NAME, "account": account, "region": region}
        put(others[-1], **{f"onnxferry-{key}": value for key, value in mark.items()})
    # another's mark in our own folder, as after a copy
    others.append(f"onnxferry/{NAME}/{ACCOUNT}-{REGION}/{SHA}/golden.json")
    put(others[-1], **{"onnxferry-endpoint": NAME, "onnxferry-account": "210987654321"})
    run_all(bundles[:2], bucket="shared")
    assert aws.keys["shared"] == sorted(others)


def test_what_has_no_mark_is_said(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    bucket()
    put(f"onnxferry/{NAME}/{SHA}/model.tar.gz", f"onnxferry/{NAME}/{ACCOUNT}-{REGION}/notes")
    made = deploy(bundles[0], bucket="shared")
    resources = made.status().resources
    folder = f"s3://shared/onnxferry/{NAME}/"
    assert ("package", f"{folder}{SHA}/", "no mark: never deleted") in resources
    assert ("objects", f"{folder}{ACCOUNT}-{REGION}/", "1 that are not onnxferry's") in resources
    text = plan_text(made.plan_delete())
    assert f"{folder}{SHA}/ stays: it has no mark" in text
    assert f"{folder}{ACCOUNT}-{REGION}/ stays: 1 objects there are not onnxferry's" in text


def test_an_object_in_a_packages_place_is_not_overwritten(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    bucket()
    key = f"onnxferry/{NAME}/{ACCOUNT}-{REGION}/{bundles[0].package.sha256}/model.tar.gz"
    put(key)
    with pytest.raises(NameTaken, match=r"an object that onnxferry did not put there"):
        deploy(bundles[0], bucket="shared")
    assert aws.s3.get_object("shared", key).value == b"theirs"


def test_an_upload_to_a_folder_that_is_not_ours_goes_on(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    bucket()
    keys = (f"onnxferry/{NAME}/{ACCOUNT}-{REGION}/{SHA}/model.tar.gz", f"onnxferry/{NAME}/big")
    for key in keys:
        s3().create_multipart_upload(Bucket="shared", Key=key)
    run_all(bundles[:2], bucket="shared")
    there = s3().list_multipart_uploads(Bucket="shared")["Uploads"]
    assert sorted(upload["Key"] for upload in there) == sorted(keys)


def versions(aws: AwsServer) -> list[str]:
    """Keys of all versions and delete markers."""
    found = s3().list_object_versions(Bucket="shared")
    return sorted(v["Key"] for kind in ("Versions", "DeleteMarkers") for v in found.get(kind, ()))


def test_old_versions_go_with_the_package(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    bucket(versioned=True)
    made = deploy(bundles[0], bucket="shared")
    archive = f"{made.names.folder}{bundles[0].package.sha256}/model.tar.gz"
    s3().delete_object(Bucket="shared", Key=archive)  # somebody tidies: a delete marker
    put(f"{made.names.folder}notes", f"{made.names.folder}notes")
    deploy(bundles[0], bucket="shared")
    assert versions(aws).count(archive) == 3
    delete(bucket="shared")
    assert versions(aws) == [f"{made.names.folder}notes"] * 2


def test_a_foreign_version_of_our_key_stays(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    bucket(versioned=True)
    archive = f"{cloud().names.folder}{bundles[0].package.sha256}/model.tar.gz"
    put(archive)
    s3().delete_object(Bucket="shared", Key=archive)
    deploy(bundles[0], bucket="shared")
    delete(bucket="shared")
    assert versions(aws) == [archive, archive]
    head = s3().list_object_versions(Bucket="shared")["DeleteMarkers"][0]
    assert head["IsLatest"]


def test_a_bucket_whose_versions_may_not_be_deleted(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    bucket(versioned=True)
    deploy(bundles[0], bucket="shared")
    aws.objects.denied.add("s3:DeleteObjectVersion")
    delete(bucket="shared")
    assert "Contents" not in s3().list_objects_v2(Bucket="shared")
    assert versions(aws)


@pytest.mark.parametrize(
    "key", [KEY, "0f-1", "alias/models", f"arn:aws:kms:{REGION}:{ACCOUNT}:alias/models"]
)
def test_the_role_may_decrypt_what_a_given_bucket_encrypts(
    aws: AwsServer, bundles: tuple[Bundle, ...], key: str
) -> None:
    bucket()
    default = {"SSEAlgorithm": "aws:kms", "KMSMasterKeyID": key}
    rules = {"Rules": [{"ApplyServerSideEncryptionByDefault": default}]}
    s3().put_bucket_encryption(Bucket="shared", ServerSideEncryptionConfiguration=rules)
    deploy(bundles[0], bucket="shared")
    assert aws.endpoints[NAME].state == "InService"


def test_a_bucket_whose_encryption_may_not_be_read(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    bucket()
    aws.refusals["GetBucketEncryption"] = Refusal("AccessDenied", "Access Denied", 403)
    made = cloud(bucket="shared")
    said = plan_text(made.plan_deploy(bundles[0]))
    assert "is not known: s3:GetEncryptionConfiguration is missing" in said
    apply(made.plan_deploy(bundles[0]), made)


def test_a_role_that_others_use_stays_and_the_rest_goes(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made, role = deploy(bundles[0]), f"onnxferry-{NAME}-{REGION}"
    attached = policy("theirs")
    iam().attach_role_policy(RoleName=role, PolicyArn=attached)
    iam().put_role_policy(RoleName=role, PolicyName="own", PolicyDocument=ALLOW)
    assert f"role {role} stays: others gave it policies (own, theirs)" in plan_text(
        made.plan_delete()
    )
    delete()
    assert (dict(aws.endpoints), aws.keys, list(aws.roles)) == ({}, {}, [role])
    assert list(aws.roles[role].policies) == ["own"]
    assert list(aws.roles[role].managed_policies) == [attached]
    assert made.plan_delete().steps == ()


def test_a_policy_that_is_attached_later_keeps_the_role(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made, role = deploy(bundles[0]), f"onnxferry-{NAME}-{REGION}"
    planned = made.plan_delete()
    iam().attach_role_policy(RoleName=role, PolicyArn=policy("theirs"))
    apply(planned, made)
    assert (aws.keys, list(aws.roles)) == ({}, [role])


def test_a_bucket_of_the_default_name_that_we_did_not_make(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    name = f"onnxferry-{ACCOUNT}-{REGION}"
    bucket(name)
    s3().put_bucket_tagging(Bucket=name, Tagging={"TagSet": [{"Key": "team", "Value": "x"}]})
    with pytest.raises(NameTaken, match=r"has no tag onnxferry:bucket"):
        deploy(bundles[0])
    assert s3().get_bucket_tagging(Bucket=name)["TagSet"] == [{"Key": "team", "Value": "x"}]
    with pytest.raises(NameTaken):
        delete()
    assert name in aws.keys


def test_the_default_bucket_stays_for_an_old_version_of_anothers(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    name = deploy(bundles[0]).names.bucket
    enabled = {"Status": "Enabled"}
    s3().put_bucket_versioning(Bucket=name, VersioningConfiguration=enabled)
    s3().put_object(Bucket=name, Key="theirs", Body=b"x")
    s3().delete_object(Bucket=name, Key="theirs")
    delete()
    assert name in aws.keys


OPTIONAL = {
    "ListObjectVersions": "s3:ListBucketVersions",
    "ListMultipartUploads": "s3:ListBucketMultipartUploads",
    "GetBucketEncryption": "s3:GetEncryptionConfiguration",
    "DescribeLogGroups": "logs:DescribeLogGroups",
    "ListAttachedRolePolicies": "iam:ListAttachedRolePolicies",
}


def test_without_what_is_not_needed_all_flows_work_and_say_so(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    bucket()
    for operation in OPTIONAL:
        aws.refusals[operation] = Refusal("AccessDenied", "Access Denied", 403)
    for each in bundles[:2]:
        made = deploy(each, bucket="shared")
    text = plan_text(made.plan_deploy(bundles[2])) + plan_text(made.plan_delete())
    assert all(f"{permission} is missing" in text for permission in OPTIONAL.values())
    assert "logs:DescribeLogGroups is missing" in str(made.status().details)
    delete(bucket="shared")
    assert (dict(aws.endpoints), aws.keys, aws.roles) == ({}, {"shared": []}, {})


def test_what_is_needed_and_missing_is_refused(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    bucket()
    aws.refusals["ListObjectVersions"] = Refusal("AccessDenied", "Access Denied", 403)
    aws.refusals["ListObjectsV2"] = Refusal("AccessDenied", "Access Denied", 403)
    with pytest.raises(NotAllowed, match=r"s3:ListBucket is missing"):
        deploy(bundles[0], bucket="shared")

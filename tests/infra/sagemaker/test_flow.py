"""Deploy, deploy again, update, roll back, delete: what is in the account after each."""

from __future__ import annotations

import json
from dataclasses import replace

import boto3
import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action
from onnxferry.infra.plan_text import plan_text
from onnxferry.scoring.wire import Request
from onnxferry.system.hashes import sha256
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.infra.sagemaker.conftest import NAME, QUESTION, cloud, deploy

ALLOW = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action":'
    ' ["s3:GetObject", "s3:PutObject", "cloudwatch:DescribeAlarms"], "Resource": "*"}]}'
)
TRUST = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",'
    ' "Principal": {"Service": "sagemaker.amazonaws.com"}}]}'
)
BUCKET = f"onnxferry-{ACCOUNT}-{REGION}"
FOLDER = f"onnxferry/{NAME}/{ACCOUNT}-{REGION}"


def roll_back() -> None:
    made = cloud()
    apply(made.plan_rollback(), made)


def test_the_first_deployment_makes_all_that_an_endpoint_needs(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    live = aws.endpoints[NAME]
    assert (live.state, live.serving) == ("InService", True)
    assert live.config.startswith(f"{NAME}-{bundles[0].version}-")
    folder = f"{FOLDER}/{bundles[0].package.sha256}"
    assert aws.keys == {BUCKET: [f"{folder}/golden.json", f"{folder}/model.tar.gz"]}
    model = aws.sagemaker._models[next(iter(aws.sagemaker._models))]
    assert model.primary_container["Image"].startswith(
        "763104351884.dkr.ecr.eu-west-1.amazonaws.com/huggingface-"
    )
    assert model.execution_role_arn == f"arn:aws:iam::{ACCOUNT}:role/onnxferry-{NAME}-{REGION}"


def test_the_role_may_do_no_more_than_serve(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    role = aws.roles[f"onnxferry-{NAME}-{REGION}"]
    trust = json.loads(role.assume_role_policy_document)["Statement"][0]
    assert trust["Principal"] == {"Service": "sagemaker.amazonaws.com"}
    assert trust["Condition"] == {
        "ArnLike": {"aws:SourceArn": f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:*"}
    }
    (document,) = role.policies.values()
    statements = json.loads(document)["Statement"]
    assert statements[0]["Resource"] == f"arn:aws:s3:::{BUCKET}/{FOLDER}/*"
    assert all("*" not in action for statement in statements for action in statement["Action"])


def test_the_bucket_is_private_and_encrypted(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    bucket = aws.s3.buckets[BUCKET]
    assert bucket.public_access_block.block_public_policy
    assert "AES256" in str(bucket.encryption)
    assert bucket.rules[0].aimu_days == "7"
    sent = [call for call in aws.calls if call.service == "s3" and call.operation != "CreateBucket"]
    guarded = [call for call in sent if call.headers.get("x-amz-expected-bucket-owner") == ACCOUNT]
    assert len(guarded) > len(sent) / 2


def test_the_second_deployment_has_nothing_to_do(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    plan = made.plan_deploy(bundles[0])
    assert plan.changes == ()
    aws.begin()
    apply(plan, made)
    assert all(call.reads for call in aws.calls)


def test_planning_only_reads(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = cloud()
    plan = made.plan_deploy(bundles[0])
    assert all(call.reads for call in aws.calls)
    assert aws.keys == {}
    assert json.loads(plan.to_json())["steps"][-1]["operation"] == "record_history"


def test_an_update_proves_a_candidate_first_and_keeps_what_served(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    first = deploy(bundles[0])
    deploy(bundles[1])
    changes = aws.endpoints.changes
    assert [(c.endpoint, c.proved) for c in changes] == [
        (NAME, False),
        (f"{NAME}-candidate", False),
        (f"{NAME}-candidate", False),
        (NAME, True),
    ]
    assert aws.endpoints.most == 2
    assert set(aws.endpoints) == {NAME}
    status = first.status()
    assert (status.state, status.version, status.previous) == (
        "InService",
        bundles[1].version,
        bundles[0].version,
    )
    assert status.url.endswith(f"/endpoints/{NAME}/invocations")
    assert ("endpoint configuration", aws.endpoints[NAME].config, "serves") in status.resources


def test_the_third_version_prunes_the_first(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    for each in bundles:
        deploy(each)
    kept = {bundles[1].version, bundles[2].version}
    assert {name[len(NAME) + 1 :][:12] for name in aws.sagemaker.endpoint_configs} == kept
    assert {name[len(NAME) + 1 :][:12] for name in aws.sagemaker._models} == kept
    assert {key.split("/")[3][:12] for key in aws.keys[BUCKET]} == kept


def test_a_roll_back_puts_the_previous_version_back_and_another_forward_again(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    deploy(bundles[1])
    for live, other in ((0, 1), (1, 0)):
        roll_back()
        status = cloud().status()
        assert (status.version, status.previous) == (bundles[live].version, bundles[other].version)


def test_without_a_previous_version_there_is_no_roll_back(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    with pytest.raises(NotFound, match="no previous version"):
        cloud().plan_rollback()
    deploy(bundles[0])
    with pytest.raises(NotFound, match="no previous version"):
        cloud().plan_rollback()


def test_another_instance_type_is_an_update_of_the_same_version(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    before = aws.endpoints[NAME].config
    deploy(bundles[0], instance_type="ml.m5.4xlarge")
    assert aws.endpoints[NAME].config != before
    assert len(aws.sagemaker._models) == 1


def environment(aws: AwsServer) -> dict[str, str]:
    """Of the model that serves."""
    (variant,) = aws.sagemaker.endpoint_configs[aws.endpoints[NAME].config].production_variants
    found: dict[str, str] = aws.sagemaker._models[variant["ModelName"]].primary_container[
        "Environment"
    ]
    return found


def test_the_environment_is_set_changed_and_taken_away(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    ours = {"SAGEMAKER_PROGRAM": "inference.py"}
    for wanted in (
        {"ONNXFERRY_ENGINE_THREADS": "2"},
        {"ONNXFERRY_ENGINE_THREADS": "4", "TEAM": "ml"},
        {},
    ):
        made = cloud(environment=wanted)
        plan = made.plan_deploy(bundles[0])
        assert all(f'"{name}": "{value}"' in plan.to_json() for name, value in wanted.items())
        apply(plan, made)
        assert environment(aws) == {**ours, **wanted}
        assert made.plan_deploy(bundles[0]).changes == ()
        assert made.status().version == bundles[0].version


def test_a_roll_back_brings_the_environment_of_before(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    for threads in ("2", "4"):
        deploy(bundles[0], environment={"ONNXFERRY_ENGINE_THREADS": threads})
    roll_back()
    assert environment(aws)["ONNXFERRY_ENGINE_THREADS"] == "2"


def test_deletion_leaves_nothing(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    deploy(bundles[0])
    made = deploy(bundles[1])
    plan = made.plan_delete()
    assert {step.resource for step in plan.steps} == {
        "endpoint",
        "alarm",
        "endpoint configuration",
        "model",
        "package",
        "role",
        "bucket",
        "log group",
    }
    apply(plan, made)
    assert (dict(aws.endpoints), aws.keys, aws.logs) == ({}, {}, [])
    assert (dict(aws.sagemaker._models), dict(aws.sagemaker.endpoint_configs), aws.roles) == (
        {},
        {},
        {},
    )
    assert aws.alarms.names == []
    assert made.plan_delete().steps == ()
    assert made.status().state == "absent"


def test_deletion_leaves_what_was_given(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    boto3.client("s3", region_name=REGION).create_bucket(
        Bucket="given", CreateBucketConfiguration={"LocationConstraint": REGION}
    )
    boto3.client("s3", region_name=REGION).put_object(
        Bucket="given", Key="onnxferry/other/x", Body=b"x"
    )
    iam = boto3.client("iam", region_name=REGION)
    role = iam.create_role(RoleName="given", AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
    iam.put_role_policy(RoleName="given", PolicyName="p", PolicyDocument=ALLOW)
    made = deploy(bundles[0], bucket="given", role=role)
    assert len(aws.keys["given"]) == 3
    apply(made.plan_delete(), made)
    assert aws.keys == {"given": ["onnxferry/other/x"]}
    assert list(aws.roles) == ["given"]


def test_the_default_bucket_stays_while_another_endpoint_uses_it(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    aws.s3.put_object(BUCKET, "onnxferry/other/x", b"x")
    apply(made.plan_delete(), made)
    assert aws.keys == {BUCKET: ["onnxferry/other/x"]}


def test_an_answer_says_which_version_gave_it(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    reply = deploy(bundles[0]).invoke(QUESTION, 60)
    assert (reply.status, json.loads(reply.body)["answer"]) == (200, "Rebecca")
    assert reply.served_by == f"AllTraffic {bundles[0].version}"


def test_an_answer_counts_though_nobody_says_which_version_gave_it(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    aws.refusals["DescribeEndpoint"] = Refusal("ThrottlingException", "Rate exceeded")
    assert made.invoke(QUESTION, 60).served_by == "AllTraffic"


def test_a_refusal_of_the_container_is_a_reply(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    reply = deploy(bundles[0]).invoke(Request(b'{"inputs": 3}'), 60)
    assert reply.status == 400
    assert "inputs" in json.loads(reply.body)["error"]["message"]


def test_logs_are_the_last_lines(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = deploy(bundles[0])
    aws.say(NAME, "one\ntwo\nthree")
    assert made.logs(2) == "two\nthree"


def test_what_is_stored_otherwise_is_uploaded_again(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    key = f"{FOLDER}/{bundles[0].package.sha256}/model.tar.gz"
    marked = aws.s3.get_object(BUCKET, key).metadata
    aws.s3.put_object(BUCKET, key, b"x" * bundles[0].package.size).set_metadata(marked)
    (step,) = made.plan_deploy(bundles[0]).changes
    assert (step.action, step.resource) == (Action.UPDATE, "package")
    deploy(bundles[0])
    assert aws.s3.get_object(BUCKET, key).value == bundles[0].package.path.read_bytes()


def test_a_large_package_goes_in_parts_and_is_known_again(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    path = bundles[0].package.path.parent / "large.tar.gz"
    path.write_bytes(bundles[0].package.path.read_bytes() + b"\0" * (11 << 20))
    large = Bundle(
        replace(bundles[0].package, path=path, size=path.stat().st_size, sha256=sha256(path)),
        bundles[0].golden,
    )
    notes: list[str] = []
    made = replace(cloud(), clients=AwsClients(None, REGION, part=5 << 20))
    step = made.plan_deploy(large).steps
    for each in step[:2]:
        made.execute(each, notes.append)
    assert notes[-1] == f"{large.package.size / 1e6:.1f} of {large.package.size / 1e6:.1f} MB"
    assert sum(call.operation == "UploadPart" for call in aws.calls) == 3
    assert [s.action for s in made.plan_deploy(large).steps[:2]] == [Action.REUSE, Action.REUSE]


def test_plans_say_where_what_and_on_which_instances(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    where = f"squad on sagemaker (AWS account {ACCOUNT}, region {REGION})."
    first, second = (bundle.version for bundle in bundles[:2])
    text = plan_text(cloud().plan_deploy(bundles[0]))
    assert text.startswith(f"Deploy {where}\nVersion {first} will serve on 1 x ml.m5.large.\n")
    deploy(bundles[0])
    plan = cloud(instance_count=2).plan_deploy(bundles[1])
    assert f"{second} will serve on 2 x ml.m5.large, and replaces {first}." in plan_text(plan)
    passing = "For the time of the change only: endpoint squad-candidate (billed by the hour)."
    assert passing in plan_text(plan)
    assert "At most 3 x ml.m5.large run at a time meanwhile." in plan_text(plan)
    assert [step.name for step in plan.destructive] == [NAME]
    deploy(bundles[1])
    back = plan_text(cloud().plan_rollback())
    assert f"{first} will serve on 1 x ml.m5.large, and replaces {second}." in back
    assert plan_text(cloud().plan_delete()).startswith(f"Delete {where}\nDeletes:\n")

"""What a user reads when something is wrong: where, what the cloud said, what next; and what is
left as it was."""

from __future__ import annotations

import threading
from dataclasses import replace

import boto3
import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import (
    InvokeFailed,
    NameTaken,
    NoCredentials,
    NotAllowed,
    NotFound,
    PublishFailed,
    QuotaExceeded,
    Refused,
    TimedOut,
    Unavailable,
)
from onnxferry.scoring.wire import Request, Response
from onnxferry.system.errors import UsageError
from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.answers import Refusal
from tests.fakes.aws.endpoints import Endpoint
from tests.infra.sagemaker.conftest import NAME, QUESTION, cloud, deploy

CANDIDATE = f"{NAME}-candidate"
NOWHERE = "http://127.0.0.1:9"


def test_nobody_is_signed_in(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    nobody = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    with (
        aws.reachable(**nobody),
        pytest.raises(NoCredentials, match=r"nobody is signed in.*aws sso login"),
    ):
        cloud().plan_deploy(bundles[0])


def test_the_sign_in_has_expired(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    aws.refusals["GetCallerIdentity"] = Refusal(
        "ExpiredToken", "The security token is expired", 403
    )
    said = r"the sign-in has expired \(ExpiredToken\).*AWS_SESSION_TOKEN anew"
    with pytest.raises(NoCredentials, match=said):
        cloud().plan_deploy(bundles[0])


def test_an_unknown_profile(aws: AwsServer) -> None:
    with pytest.raises(
        NoCredentials,
        match=r"no profile 'other', which sagemaker.profile .*aws configure list-profiles",
    ):
        cloud(profile="other")


def test_no_region(aws: AwsServer) -> None:
    with pytest.raises(UsageError, match=r"no AWS region is set; set region in \[sagemaker\]"):
        cloud(region=None)


def test_no_such_region(aws: AwsServer) -> None:
    with (
        aws.reachable(AWS_ENDPOINT_URL=NOWHERE),
        pytest.raises(
            NotFound, match=r"no region eu-west-9 is known to have SageMaker; .*eu-west-1"
        ),
    ):
        cloud(region="eu-west-9").status()


def test_no_network(aws: AwsServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    with pytest.raises(Unavailable, match=r"no connection to sts .*run the same command again"):
        cloud().status()


@pytest.mark.parametrize(
    "operation", ["CreateRole", "CreateModel", "CreateEndpoint", "CreateBucket", "PutObject"]
)
def test_a_missing_permission_is_named(
    aws: AwsServer, bundles: tuple[Bundle, ...], operation: str
) -> None:
    who = (
        f"User: arn:aws:iam::{ACCOUNT}:user/ci is not authorized to perform: x:{operation} on"
        " resource: *"
    )
    aws.refusals[operation] = Refusal("AccessDeniedException", who, 403)
    with pytest.raises(
        NotAllowed, match=rf"AWS {REGION}, .*the permission x:{operation} is missing.*owner"
    ):
        deploy(bundles[0])
    resources = {resource for _, resource, _ in cloud().status().resources}
    assert resources == {
        name for names in ([NAME] * (NAME in aws.endpoints), *left(aws)) for name in names
    }
    del aws.refusals[operation]
    deploy(bundles[0])
    assert aws.endpoints[NAME].state == "InService"


def left(aws: AwsServer) -> list[list[str]]:
    """Names of all in the account, as status says them."""
    packages = {
        f"s3://{b}/{k.rsplit('/', 1)[0][:-52]}" for b, keys in aws.keys.items() for k in keys
    }
    return [
        list(aws.sagemaker._models),
        list(aws.sagemaker.endpoint_configs),
        list(aws.roles),
        sorted(packages),
        aws.logs,
    ]


def test_status_does_not_list_the_role_s_policies(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.refusals["ListRolePolicies"] = Refusal("AccessDenied", "no", 403)
    deploy(bundles[0])
    role = f"onnxferry-{NAME}-{REGION}"
    assert ("role", role, "made") in cloud().status().resources
    with pytest.raises(NotAllowed, match=r"the permission iam:ListRolePolicies is missing"):
        cloud().plan_delete()
    del aws.refusals["ListRolePolicies"]
    (step,) = (step for step in cloud().plan_delete().steps if step.resource == "role")
    assert step.parameters == {"policies": list(aws.roles[role].policies)}


def test_a_permission_that_the_refusal_does_not_name(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    deploy(bundles[0])
    aws.refusals["HeadObject"] = Refusal("", "", 403)
    with pytest.raises(
        NotAllowed, match=r"s3://onnxferry-.*the permission s3:GetObject is missing"
    ):
        cloud().plan_deploy(bundles[0])


def test_the_quota_is_reached(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    said = "The account-level service limit 'ml.m5.large for endpoint usage' is 0 Instances"
    aws.refusals["CreateEndpoint"] = Refusal("ResourceLimitExceeded", said)
    with pytest.raises(QuotaExceeded, match=r"ml.m5.large for endpoint usage.*Service Quotas"):
        deploy(bundles[0])


@pytest.mark.parametrize("name", [NAME, CANDIDATE])
def test_somebody_elses_endpoint_is_left_alone(
    aws: AwsServer, bundles: tuple[Bundle, ...], name: str
) -> None:
    aws.endpoints[name] = Endpoint(
        name, f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{name}", "c", state="InService"
    )
    for act in (lambda: deploy(bundles[0]), lambda: cloud().plan_delete()):
        with pytest.raises(
            NameTaken, match=rf"endpoint {name}: it exists, and onnxferry did not make it.*--name"
        ):
            act()


def test_somebody_elses_role_is_left_alone(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    iam = boto3.client("iam", region_name=REGION)
    iam.create_role(RoleName=f"onnxferry-{NAME}-{REGION}", AssumeRolePolicyDocument="{}")
    with pytest.raises(
        NameTaken, match=r"role onnxferry-squad-eu-west-1 exists that onnxferry did not make"
    ):
        deploy(bundles[0])


def test_somebody_elses_bucket_of_the_default_name(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    aws.refusals["HeadBucket"] = Refusal("", "", 403)
    with pytest.raises(
        NameTaken, match=r"another account has the bucket onnxferry-.*set sagemaker.bucket"
    ):
        deploy(bundles[0])


def test_a_given_bucket_must_be_there_and_in_the_region(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    with pytest.raises(NotFound, match=r"bucket mine.*only the default bucket is created"):
        deploy(bundles[0], bucket="mine")
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket="mine")
    with pytest.raises(
        Refused, match="bucket mine: it is in us-east-1, and SageMaker reads packages of its own"
    ):
        deploy(bundles[0], bucket="mine")


def test_tidying_that_fails_takes_nothing_back(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    for each in bundles[:2]:
        deploy(each)
    aws.refusals["DeleteModel"] = Refusal("AccessDeniedException", "no", 403)
    with pytest.raises(NotAllowed, match=r"sagemaker:DeleteModel is missing"):
        deploy(bundles[2])
    assert cloud().status().version == bundles[2].version


def test_a_wait_has_a_limit(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    aws.endpoints.looks = 10_000
    with pytest.raises(
        TimedOut, match=r"AWS eu-west-1, endpoint squad: still Creating after 65 s.*wait_minutes"
    ):
        deploy(bundles[0], wait_minutes=1)


def test_throttling_that_does_not_end(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    aws.refusals["CreateModel"] = Refusal("ThrottlingException", "Rate exceeded")
    with pytest.raises(Unavailable, match=r"Rate exceeded.*run the same command again"):
        deploy(bundles[0])
    assert sum(call.operation == "CreateModel" for call in aws.calls) == 5


def test_a_package_that_does_not_arrive(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    aws.refusals["PutObject"] = Refusal(
        "BadDigest", "The sha256 you specified did not match what we received"
    )
    with pytest.raises(PublishFailed, match=r"s3://.*did not match.*uploaded anew"):
        deploy(bundles[0])


def test_a_request_that_no_service_knows(aws: AwsServer) -> None:
    with pytest.raises(Refused, match=r"Unknown parameter in input: .Colour"):
        cloud().clients.call("sagemaker", "describe_endpoint", "x", EndpointName="x", Colour="blue")
    assert aws.calls == []


def test_a_new_role_is_waited_for(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    aws.unknown_role = 3
    deploy(bundles[0])
    assert aws.endpoints[NAME].state == "InService"
    aws.reset()
    aws.unknown_role = 1000
    with pytest.raises(Refused, match="Could not assume role"):
        deploy(bundles[0])


def test_nothing_to_invoke(aws: AwsServer) -> None:
    with pytest.raises(
        NotFound, match=r"endpoint squad: ValidationError: Endpoint squad of account .* not found"
    ):
        cloud().invoke(QUESTION, 60)
    with pytest.raises(NotFound, match=r"onnxferry deploy makes it"):
        cloud().logs(10)


def test_an_answer_that_does_not_come(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made, over, asked = deploy(bundles[0]), threading.Event(), []

    def stuck(request: Request) -> Response:
        asked.append(request)
        over.wait()
        return Response(200, b"{}")

    aws.up = dict.fromkeys(aws.up, stuck)
    try:
        with pytest.raises(
            InvokeFailed, match=r"endpoint squad: no answer within 0.3 s.*--timeout"
        ):
            made.invoke(QUESTION, 0.3)
    finally:
        over.set()
    assert len(asked) == 1


def test_an_unfinished_upload_is_listed_and_deleted(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    bucket = made.names.bucket
    archive = f"{made.names.folder}{bundles[0].package.sha256}/model.tar.gz"
    boto3.client("s3", region_name=REGION).create_multipart_upload(Bucket=bucket, Key=archive)
    assert "unfinished upload" in {kind for kind, _, _ in made.status().resources}
    apply(made.plan_delete(), made)
    assert aws.keys == {}


def test_a_package_for_another_python_is_refused_before_anything_is_done(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    other = Bundle(replace(bundles[0].package, python="3.11"), bundles[0].golden)
    with pytest.raises(
        UsageError, match=r"for Python 3.11, and the Hugging Face .* has 3.12.*sagemaker.image"
    ):
        cloud().plan_deploy(other)
    assert cloud(image="mine:1").plan_deploy(other).steps


def test_a_region_without_a_known_image_says_what_to_set(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    with pytest.raises(
        UsageError, match=r"no Hugging Face .* known for region ap-southeast-9; set sagemaker.image"
    ):
        cloud(region="ap-southeast-9").plan_deploy(bundles[0])

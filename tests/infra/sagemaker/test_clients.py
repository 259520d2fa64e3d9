"""One door: boto3 and botocore are imported in one file of infra, and only for the target that
needs them."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import NameTaken, NoCredentials, NotFound, Refused, Unavailable
from onnxferry.infra.sagemaker.lease_store import S3LeaseStore
from tests.fakes.aws import AwsServer, Fault
from tests.infra.sagemaker.conftest import NAME, clock, cloud, deploy
from tests.test_architecture import ROOT, files, imports


def test_boto3_is_imported_in_one_file() -> None:
    users = {
        p.relative_to(ROOT).as_posix()
        for p in files("infra")
        if {"boto3", "botocore"} & set(imports(p))
    }
    assert users == {"infra/clients/aws.py"}


@pytest.mark.parametrize("words", [["--help"], ["deploy", "--help"], ["package", "--help"]])
def test_no_sdk_is_loaded_before_it_is_needed(words: list[str]) -> None:
    code = (
        "import sys; from onnxferry import cli; from click.testing import CliRunner;"
        "CliRunner().invoke(cli.cli, sys.argv[1:]);"
        "print(sorted({'boto3', 'botocore', 'azure'} & set(sys.modules)))"
    )
    run = [sys.executable, "-c", code, *words]
    assert (
        subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True).stdout == "[]\n"
    )


def test_sagemaker_loads_nothing_of_azure() -> None:
    code = (
        "import sys, onnxferry.infra.sagemaker;"
        "print({'azure', 'sagemaker', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == "set()\n"


def test_the_checksum_of_a_small_file_is_that_of_its_bytes(tmp_path: Path) -> None:
    clients = AwsClients(None, "eu-west-1")
    for text in (b"", b"x"):
        (tmp_path / "file").write_bytes(text)
        assert (
            base64.b64decode(clients.checksum(tmp_path / "file")) == hashlib.sha256(text).digest()
        )


def test_a_profile_that_a_variable_names_is_absent(aws: AwsServer) -> None:
    with (
        aws.reachable(AWS_PROFILE="gone"),
        pytest.raises(NoCredentials, match=r"no profile 'gone', which the variable AWS_PROFILE"),
    ):
        cloud()


@pytest.mark.parametrize(("skew", "said"), [(3600, "60 minutes slow"), (-3600, "60 minutes fast")])
def test_a_wrong_clock_is_said(aws: AwsServer, skew: float, said: str) -> None:
    made = cloud().clients
    assert made.account
    aws.faults.skew = skew
    for service, operation in (
        ("sts", "get_caller_identity"),
        ("s3", "list_buckets"),
        ("sagemaker", "list_models"),
    ):
        with pytest.raises(Refused, match=rf"clock is {said}.*timedatectl"):
            made.call(service, operation, "x")


@pytest.mark.parametrize("number", [0, 5, 15, 25])
def test_a_sign_in_that_expires_in_the_middle(
    aws: AwsServer, bundles: tuple[Bundle, ...], number: int
) -> None:
    deploy(bundles[0])
    aws.begin()
    aws.faults.at[number] = Fault.EXPIRED
    with pytest.raises(NoCredentials) as caught:
        deploy(bundles[1])
    renewal = "set AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN anew"
    assert str(caught.value).count("the sign-in has expired (ExpiredToken)") == 1
    assert str(caught.value).count(renewal) == 1
    aws.begin()
    deploy(bundles[1])
    assert cloud().status().version == bundles[1].version


def test_an_expired_single_sign_on_says_the_command(aws: AwsServer, tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        "[profile work]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = dev\n"
        "[sso-session corp]\nsso_region = eu-west-1\nsso_start_url = https://corp.awsapps.com/x\n"
    )
    none = dict.fromkeys(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"))
    with (
        aws.reachable(AWS_CONFIG_FILE=str(config), HOME=str(tmp_path), **none),
        pytest.raises(NoCredentials, match=r"run `aws sso login --profile work`, then") as caught,
    ):
        cloud(profile="work").sign_in()
    assert str(caught.value).count("aws sso login") == 1


def test_slow_answers_are_waited_for(aws: AwsServer, bundles: tuple[Bundle, ...]) -> None:
    made = cloud()
    time = clock()
    aws.faults.pass_time = time.sleep
    for number in range(0, 1000, 7):
        aws.faults.at[number] = Fault.SLOW
    made = replace(made, clock=time)
    apply(made.plan_deploy(bundles[0]), made)
    assert aws.faults.met > 5
    assert aws.endpoints[NAME].state == "InService"
    assert made.clients._client("s3").meta.config.read_timeout > 30


def test_a_broken_connection_says_its_cause(aws: AwsServer) -> None:
    nowhere = "http://127.0.0.1:9"
    for variables, cause in (
        ({"AWS_ENDPOINT_URL": aws.url.replace("http:", "https:")}, "no TLS there"),
        ({"AWS_ENDPOINT_URL": "https://aws.invalid", "HTTPS_PROXY": nowhere}, "HTTPS_PROXY"),
    ):
        with aws.reachable(**variables), pytest.raises(Unavailable, match=cause):
            cloud().sign_in()


def store(aws: AwsServer, bundles: tuple[Bundle, ...]) -> S3LeaseStore:
    made = cloud()
    made.execute(made.plan_deploy(bundles[0]).steps[0], lambda text: None)
    return S3LeaseStore(made.clients, made.names)


def test_a_lease_is_written_where_nobody_was_quicker(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    lease = store(aws, bundles)
    assert lease.read() is None
    first = lease.write("one", "")
    assert first
    assert lease.write("two", "") is None
    second = lease.write("two", first)
    assert second and lease.write("three", first) is None
    there = lease.read()
    assert there and (there.text, there.etag) == ("two", second)
    assert 0 <= there.age < 60


@pytest.mark.parametrize("fault", [Fault.DROPPED_AFTER, Fault.BROKEN])
def test_a_lease_written_twice_by_a_retry_is_ours(
    aws: AwsServer, bundles: tuple[Bundle, ...], fault: Fault
) -> None:
    lease = store(aws, bundles)
    aws.faults.every = fault
    first = lease.write("one", "")
    assert first and lease.write("two", first)


def test_a_lease_needs_its_bucket_and_is_not_anothers_object(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = cloud()
    lease = S3LeaseStore(made.clients, made.names)
    for act in (lease.read, lambda: lease.write("one", ""), lambda: lease.write("one", '"x"')):
        with pytest.raises(NotFound):
            act()
    lease = store(aws, bundles)
    assert lease.write("one", '"gone"') is None
    aws.s3.put_object(made.names.bucket, made.names.lease_key, b"theirs")
    for act in (lease.read, lambda: lease.write("one", "")):
        with pytest.raises(NameTaken, match="did not put there"):
            act()


def test_the_lease_goes_last_with_all_its_versions(
    aws: AwsServer, bundles: tuple[Bundle, ...]
) -> None:
    made = deploy(bundles[0])
    enabled = {"Status": "Enabled"}
    bucket = made.names.bucket
    made.clients.call(
        "s3", "put_bucket_versioning", bucket, Bucket=bucket, VersioningConfiguration=enabled
    )
    lease, etag = made.lease_store(), ""
    for text in ("one", "two", "three"):
        etag = lease.write(text, etag) or ""
    plan = made.plan_delete()
    assert [step.resource for step in plan.steps][-1] == "bucket"
    lease.write("four", etag)
    apply(plan, made)
    assert aws.keys == {}

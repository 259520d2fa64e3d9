"""Other people's things, drawn by hypothesis: near ours in name, place and mark, and none of them
ours. A thing is data; `put` makes it."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.fakes.aws import ACCOUNT, REGION, AwsServer
from tests.fakes.aws.endpoints import Endpoint
from tests.infra.sagemaker.conftest import NAME

OTHER = "210987654321"
PLACES = (f"{ACCOUNT}-{REGION}", f"{OTHER}-{REGION}", f"{ACCOUNT}-eu-north-1")
SHAS = tuple(digit * 64 for digit in "0af")
FILES = ("model.tar.gz", "golden.json", "model.tar.gz.bak", "README.md", "lease.json")
ALLOW = json.dumps(
    {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:ListAllMyBuckets", "Resource": "*"}],
    }
)
_HEX = st.text("0123456789abcdef", min_size=8, max_size=8)


@dataclass(frozen=True)
class Object:
    """`versions` times put; `hidden` by a delete marker where the bucket keeps versions; `upload`
    is one that never ended instead."""

    key: str
    metadata: Mapping[str, str]
    tags: Mapping[str, str]
    versions: int = 1
    hidden: bool = False
    upload: bool = False


@dataclass(frozen=True)
class Hosting:
    """A "model", "config" or "endpoint"; with a `tag` onnxferry:endpoint, if that is not ""."""

    kind: str
    name: str
    tag: str


@dataclass(frozen=True)
class Role:
    name: str
    inline: bool
    attached: bool
    tag: str


@dataclass(frozen=True)
class Alarm:
    """With a `tag` onnxferry:endpoint, if that is not ""."""

    name: str
    tag: str


@dataclass(frozen=True)
class World:
    """What is there before the first flow. `given` is how the bucket is: "" for the default one."""

    given: str
    prefix: str
    objects: tuple[Object, ...]
    hosting: tuple[Hosting, ...]
    roles: tuple[Role, ...]
    logs: tuple[str, ...]
    alarms: tuple[Alarm, ...] = ()


def mark(endpoint: str, account: str, region: str) -> dict[str, str]:
    said = {"endpoint": endpoint, "account": account, "region": region, "version": "0" * 12}
    return {f"onnxferry-{key}": value for key, value in said.items()}


OURS = mark(NAME, ACCOUNT, REGION)
MARKS: tuple[Mapping[str, str], ...] = (
    {},
    {"team": "search"},
    mark("other", ACCOUNT, REGION),
    mark(NAME, OTHER, REGION),
    mark(NAME, ACCOUNT, "eu-north-1"),
    {"onnxferry-endpoint": NAME},
)


@st.composite
def objects(draw: st.DrawFn, prefix: str, shas: tuple[str, ...]) -> Object:
    """Ours by its key, by its mark, or by neither; never by both."""
    sha, file = draw(st.sampled_from((*SHAS, *shas))), draw(st.sampled_from(FILES))
    name = draw(st.sampled_from((NAME, NAME, NAME, f"{NAME}2", "other")))
    place = draw(st.sampled_from(("", PLACES[0], *PLACES)))
    between = draw(st.sampled_from((sha, sha, sha[:12], "train/run1", "")))
    key = "/".join(part for part in (prefix, name, place, between, file) if part)
    ours = (name, place) == (NAME, PLACES[0])
    marks = MARKS if ours else (*MARKS, OURS)
    tags = draw(st.sampled_from(({}, {"owner": "them"})))
    upload, times = draw(st.integers(0, 5)) == 0, draw(st.integers(1, 2))
    return Object(key, draw(st.sampled_from(marks)), tags, times, draw(st.booleans()), upload)


@st.composite
def hosting(draw: st.DrawFn, versions: tuple[str, ...]) -> Hosting:
    """A name like ours has not our tag; with our tag, the name is another. An endpoint of our two
    names is refused at once: rare."""
    kind = draw(st.sampled_from(("model", "config", "endpoint")))
    like = f"{NAME}-{draw(st.sampled_from(versions))}-{draw(_HEX)}"
    names = [like, like, f"{NAME}-{draw(_HEX)}", f"{NAME}2", f"my-{like}", f"{NAME}-candidate2"]
    if kind == "endpoint" and draw(st.integers(0, 9)) == 0:
        names = [NAME, f"{NAME}-candidate"]
    name = draw(st.sampled_from(names))
    tags = ("", "other") if name in (like, NAME, f"{NAME}-candidate") else ("", "other", NAME)
    return Hosting(kind, name, draw(st.sampled_from(tags)))


@st.composite
def roles(draw: st.DrawFn) -> Role:
    own, rare = f"onnxferry-{NAME}-{REGION}", draw(st.integers(0, 9)) == 0
    others = (f"{own}2", f"onnxferry-other-{REGION}", f"{NAME}-role")
    name = own if rare else draw(st.sampled_from(others))
    tag = draw(st.sampled_from(("", "other") if name == own else ("", "other", NAME)))
    return Role(name, draw(st.booleans()), draw(st.booleans()), tag)


@st.composite
def alarms(draw: st.DrawFn, versions: tuple[str, ...]) -> Alarm:
    """A name like ours has not our tag; with our tag, the name is another."""
    like = f"onnxferry-{NAME}-{draw(st.sampled_from(versions))}-{draw(_HEX)}-errors-AllTraffic"
    names = (like, like.replace("errors", "cost"), f"onnxferry-{NAME}-mine", f"my-{like}", NAME)
    name = draw(st.sampled_from(names))
    return Alarm(name, draw(st.sampled_from(("", "other", *([] if name == like else [NAME])))))


@st.composite
def worlds(draw: st.DrawFn, shas: tuple[str, ...]) -> World:
    """An account with some of each."""
    prefix = draw(st.sampled_from(("onnxferry", "models/onnx")))
    kind = draw(st.sampled_from(("", "plain", "versioned", "versioned")))
    versions = tuple(sha[:12] for sha in (*shas, SHAS[0]))
    groups = (f"{NAME}2", "other", f"{NAME}-candidate2")
    return World(
        kind,
        prefix,
        tuple(draw(st.lists(objects(prefix, shas), max_size=6, unique_by=lambda o: o.key))),
        tuple(draw(st.lists(hosting(versions), max_size=4, unique_by=lambda h: (h.kind, h.name)))),
        tuple(draw(st.lists(roles(), max_size=2, unique_by=lambda r: r.name))),
        tuple(draw(st.lists(st.sampled_from(groups), max_size=2, unique=True))),
        tuple(draw(st.lists(alarms(versions), max_size=2, unique_by=lambda a: a.name))),
    )


def put(aws: AwsServer, clients: Any, world: World) -> dict[str, Any]:
    """Make all of it; the settings that a deployment there has."""
    s3, bucket = clients("s3"), "shared" if world.given else f"onnxferry-{ACCOUNT}-{REGION}"
    for name in {bucket, "theirs"} if world.given else {"theirs"}:
        place = {"LocationConstraint": REGION}
        s3.create_bucket(Bucket=name, CreateBucketConfiguration=place)
        tagging = {"TagSet": [{"Key": "team", "Value": "search"}]}
        s3.put_bucket_tagging(Bucket=name, Tagging=tagging)
    if world.given == "versioned":
        enabled = {"Status": "Enabled"}
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
    for each in world.objects:
        put_object(s3, bucket if world.given else "theirs", each)
    for thing in (Hosting("model", "theirs", ""), *world.hosting):
        put_hosting(aws, thing)
    for role in world.roles:
        put_role(clients("iam"), role)
    for group in world.logs:
        aws.say(group, "theirs")
    for alarm in world.alarms:
        put_alarm(clients("cloudwatch"), alarm)
    return {"prefix": world.prefix, **({"bucket": bucket} if world.given else {})}


def put_object(s3: Any, bucket: str, each: Object) -> None:
    at = {"Bucket": bucket, "Key": each.key}
    if each.upload:
        s3.create_multipart_upload(**at, Metadata=each.metadata)
        return
    tags = "&".join(f"{key}={value}" for key, value in each.tags.items())
    for body in range(each.versions):
        s3.put_object(**at, Body=b"theirs %d" % body, Metadata=each.metadata, Tagging=tags)
    if each.hidden and s3.get_bucket_versioning(Bucket=bucket).get("Status") == "Enabled":
        s3.delete_object(**at)


def put_hosting(aws: AwsServer, thing: Hosting, model: str = "theirs") -> None:
    """A configuration names the model `model`."""
    tags = {"onnxferry:endpoint": thing.tag} if thing.tag else {"team": "search"}
    if thing.kind == "endpoint":
        arn = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}:endpoint/{thing.name}"
        made = Endpoint(thing.name, arn, "theirs", state="InService", tags=tags, serving=True)
        aws.endpoints[thing.name] = made
        return
    listed = [{"Key": key, "Value": value} for key, value in tags.items()]
    backend = aws.sagemaker
    if thing.kind == "model":
        container = {"Image": "theirs:1", "ModelDataUrl": "s3://theirs/model.tar.gz"}
        role = f"arn:aws:iam::{ACCOUNT}:role/theirs"
        backend.create_model(
            model_name=thing.name,
            execution_role_arn=role,
            primary_container=container,
            vpc_config=None,
            containers=[],
            tags=listed,
        )
        return
    variant = {
        "VariantName": "AllTraffic",
        "ModelName": model,
        "InitialInstanceCount": 1,
        "InstanceType": "ml.m5.large",
        "InitialVariantWeight": 1.0,
    }
    backend.create_endpoint_config(
        endpoint_config_name=thing.name,
        production_variants=[variant],
        data_capture_config={},
        async_inference_config={},
        tags=listed,
        kms_key_id=None,
    )


def put_alarm(cloudwatch: Any, alarm: Alarm) -> None:
    what = {"Namespace": "theirs", "MetricName": "m", "Statistic": "Sum", "Threshold": 1.0}
    over = {"Period": 60, "EvaluationPeriods": 1, "ComparisonOperator": "GreaterThanThreshold"}
    tags = [{"Key": "onnxferry:endpoint", "Value": alarm.tag}] if alarm.tag else []
    cloudwatch.put_metric_alarm(AlarmName=alarm.name, Tags=tags, **what, **over)


def put_role(iam: Any, role: Role) -> None:
    tags = [{"Key": "onnxferry:endpoint", "Value": role.tag}] if role.tag else []
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "sagemaker.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    )
    iam.create_role(RoleName=role.name, AssumeRolePolicyDocument=trust, Tags=tags)
    give(iam, role.name, inline=role.inline, attached=role.attached)


def give(iam: Any, role: str, *, inline: bool, attached: bool) -> None:
    """Policies that are not ours."""
    if inline:
        iam.put_role_policy(RoleName=role, PolicyName="theirs", PolicyDocument=ALLOW)
    if attached:
        made = iam.create_policy(PolicyName=f"for-{role}-{time.time_ns()}", PolicyDocument=ALLOW)
        iam.attach_role_policy(RoleName=role, PolicyArn=made["Policy"]["Arn"])

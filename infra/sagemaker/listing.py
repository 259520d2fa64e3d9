"""All that onnxferry ever made in the account and region, by the mark that it leaves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.cloud import Listed
from onnxferry.infra.errors import NotFound
from onnxferry.infra.sagemaker import alarms, references, scaling, stacks, state
from onnxferry.infra.sagemaker.names import (
    DEPLOYED_TAG,
    ENDPOINT_TAG,
    READY_TAG,
    VERSION_TAG,
    Names,
    stack_name,
    values_of,
)
from onnxferry.infra.sagemaker.packages import packages

_OURS = re.compile(r".+-[0-9a-f]{12}-?[0-9a-f]{8}")  # as Names.of makes them, or mlflow does
_HOURS = 24.0


def listed(clients: AwsClients, names: Names) -> Sequence[Listed]:
    """Endpoints, configurations, models, roles, the default bucket and the packages in
    deploy.toml's, whichever endpoint they are of. Roles are left out where they may not be listed.
    Raises CloudError."""
    empty = Listed("", "", "", "", "", "", names.region)
    return [
        *_endpoints(clients, empty),
        *_hosting(clients, empty, "list_endpoint_configs", "EndpointConfig"),
        *_hosting(clients, empty, "list_models", "Model"),
        *_jobs(clients, empty),
        *_alarms(clients, empty),
        *_roles(clients, names, empty),
        *_bucket(clients, names, empty),
        *_stacks(clients, empty),
        *_packages(clients, names, empty),
        *_scaling(clients, empty),
    ]


def _endpoints(clients: AwsClients, empty: Listed) -> Iterator[Listed]:
    for found in references.endpoints(clients):
        tags = state.tags_of(clients, found.arn, f"endpoint {found.name}")
        if ENDPOINT_TAG not in tags:
            continue
        one = _tagged(replace(empty, kind="endpoint", name=found.name), tags)
        yield replace(one, state=found.state, instance_hours=_hours(found))


def _hours(found: state.Endpoint) -> float | None:
    """Of its instances in a day. One that is not up yet tells no number; an asynchronous one that
    is up may have none."""
    if found.serverless:
        return None
    if found.state == "Failed":
        return 0
    return _HOURS * (sum(found.counts.values()) or int(found.state != "InService"))


def _hosting(clients: AwsClients, empty: Listed, operation: str, kind: str) -> Iterator[Listed]:
    items = clients.pages("sagemaker", operation, f"{kind}s", f"{kind}s")
    for item in items:
        name = item[f"{kind}Name"]
        if not _OURS.fullmatch(name):
            continue
        tags = state.tags_of(clients, item[f"{kind}Arn"], f"{kind} {name}")
        if ENDPOINT_TAG in tags:
            words = {"EndpointConfig": "endpoint configuration", "Model": "model"}
            yield _tagged(replace(empty, kind=words[kind], name=name, state="made"), tags)


def _jobs(clients: AwsClients, empty: Listed) -> Iterator[Listed]:
    """Transform jobs that are at work: of the others there is but a record, which stays."""
    listed = ("sagemaker", "list_transform_jobs", "TransformJobSummaries", "transform jobs")
    found = clients.if_allowed(
        lambda: clients.pages(*listed, StatusEquals="InProgress"), "batch jobs are not listed"
    )
    for item in found or ():
        name, state_ = item["TransformJobName"], item["TransformJobStatus"]
        tags = state.tags_of(clients, item["TransformJobArn"], f"transform job {name}")
        if ENDPOINT_TAG in tags:
            one = _tagged(replace(empty, kind="transform job", name=name, state=state_), tags)
            yield replace(one, instance_hours=_HOURS)


def _alarms(clients: AwsClients, empty: Listed) -> Iterator[Listed]:
    found = clients.if_allowed(lambda: list(alarms.listed(clients)), "alarms are not listed")
    for name, tags, said in found or ():
        yield _tagged(replace(empty, kind="alarm", name=name, state=said), tags)


def _roles(clients: AwsClients, names: Names, empty: Listed) -> Iterator[Listed]:
    """IAM is the account's: the role's name says the region."""
    ours = re.compile(rf"onnxferry-.+-{names.region}")
    listed = ("iam", "list_roles", "Roles", "roles")
    found = clients.if_allowed(lambda: clients.pages(*listed), "roles are not listed")
    for name in filter(ours.fullmatch, (role["RoleName"] for role in found or ())):
        role = clients.call_if_there("iam", "get_role", f"role {name}", RoleName=name)
        tags = values_of(role["Role"].get("Tags", [])) if role else {}
        if ENDPOINT_TAG in tags:
            yield _tagged(replace(empty, kind="role", name=name, state="made"), tags)


def _bucket(clients: AwsClients, names: Names, empty: Listed) -> Iterator[Listed]:
    """The default one, which all endpoints of the region share."""
    bucket = f"onnxferry-{names.account}-{names.region}"
    asked = {"Bucket": bucket, "ExpectedBucketOwner": names.account}
    tagging = clients.call_if_there("s3", "get_bucket_tagging", f"bucket {bucket}", **asked)
    tags = values_of(tagging["TagSet"]) if tagging else {}
    if READY_TAG in tags:
        one = replace(empty, kind="bucket", name=bucket, state="made")
        yield replace(one, deployed=tags.get(DEPLOYED_TAG, ""))


def _stacks(clients: AwsClients, empty: Listed) -> Iterator[Listed]:
    """Of templates that were deployed under the kit's names."""
    found = clients.if_allowed(lambda: list(stacks.listed(clients)), "stacks are not listed")
    for endpoint, status in found or ():
        one = replace(empty, kind="stack", name=stack_name(endpoint), endpoint=endpoint)
        yield replace(one, state=status)


def _packages(clients: AwsClients, names: Names, empty: Listed) -> Iterator[Listed]:
    """Of this account and region, in the bucket that deploy.toml names or the default one."""
    where, at = f"bucket {names.bucket}", names.at(names.bucket)
    try:
        objects = clients.pages("s3", "list_objects_v2", "Contents", where, **at)
    except NotFound:
        return
    place = re.compile(rf"((?:.+/)?([^/]+)/{names.account}-{names.region}/)[0-9a-f]{{64}}/.+")
    found = (place.fullmatch(item["Key"]) for item in objects)
    for folder, endpoint in sorted({(match[1], match[2]) for match in found if match}):
        there = packages(clients, replace(names, endpoint=endpoint), names.bucket, folder)
        for one in there.found:
            name = f"s3://{names.bucket}/{folder}{one.version}"
            package = replace(empty, kind="package", name=name, endpoint=endpoint)
            yield replace(package, version=one.version, state="stored")


def _scaling(clients: AwsClients, empty: Listed) -> Iterator[Listed]:
    found = clients.if_allowed(lambda: [*scaling.listed(clients)], "autoscaling is not listed")
    for resource, tags, limits in found or ():
        yield _tagged(replace(empty, kind="autoscaling", name=resource, state=limits), tags)


def _tagged(one: Listed, tags: Mapping[str, str]) -> Listed:
    endpoint, version = tags[ENDPOINT_TAG], tags.get(VERSION_TAG, "")
    return replace(one, endpoint=endpoint, version=version, deployed=tags.get(DEPLOYED_TAG, ""))

"""All that is in the fake account, as plain data by what identifies it: so that a test can tell
whether anything changed of what is not ours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.backends import get_backend

from tests.fakes.aws import ACCOUNT, REGION, AwsServer

Snapshot = dict[tuple[str, ...], Any]


def snapshot(aws: AwsServer) -> Snapshot:
    """Everything, each thing by its kind and names."""
    found = dict(_buckets(aws))
    for kind, things in (
        ("model", aws.sagemaker._models),
        ("config", aws.sagemaker.endpoint_configs),
    ):
        found |= {(kind, name): _facts(thing) for name, thing in things.items()}
    for one in aws.endpoints.values():
        found["endpoint", one.name] = (one.config, one.pending, one.state, one.count)
        found |= {("endpoint tag", one.name, key): value for key, value in one.tags.items()}
    for (resource, dimension), target in aws.endpoints.scaling.items():
        facts = (target.least, target.most, str(target.tags), sorted(target.policies))
        found["scalable target", resource, dimension] = (*facts, sorted(target.actions))
    found |= {
        ("alarm", name): (aws.alarms.said(name), aws.alarms.tags(name)) for name in aws.alarms.names
    }
    for name, role in aws.roles.items():
        found["role", name] = (role.assume_role_policy_document, str(role.tags))
        found |= {("inline", name, key): text for key, text in role.policies.items()}
        found |= {("attached", name, arn): True for arn in role.managed_policies}
    return found | {("log group", name): _streams(aws, name) for name in aws.logs}


def _buckets(aws: AwsServer) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name, bucket in aws.s3.buckets.items():
        settings = (bucket.encryption, bucket.versioning_status, bucket.policy, bucket.rules)
        tags = aws.s3.tagger.get_tag_dict_for_resource(bucket.arn)
        yield ("bucket", name), (str(settings), str(tags), str(bucket.public_access_block))
        for key in bucket.keys:
            for one in bucket.keys.getlist(key):
                yield ("object", name, key, str(one.version_id)), _object(aws, one)
        for upload, multipart in bucket.multiparts.items():
            yield ("upload", name, upload), multipart.key_name


def _object(aws: AwsServer, one: Any) -> Any:
    if not hasattr(one, "etag"):
        return "delete marker"
    tags = aws.s3.tagger.get_tag_dict_for_resource(one.arn)
    return one.etag, dict(one.metadata), tags


def _facts(thing: Any) -> Any:
    return {key: str(value) for key, value in vars(thing).items() if "time" not in key}


def _streams(aws: AwsServer, name: str) -> Any:
    group = get_backend("logs")[ACCOUNT][REGION].groups[name]
    return {key: len(stream.events) for key, stream in group.streams.items()}

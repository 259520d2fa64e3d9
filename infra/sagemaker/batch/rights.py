"""What the execution role may do for a batch, in a policy of its own: read the input, write below
the output, and print into the log group of all jobs. It is taken back when the job has ended."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from onnxferry.infra.batch_files import RECORDS
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.sagemaker.batch.jobs import LOG_GROUP
from onnxferry.infra.sagemaker.batch.places import Place, Places
from onnxferry.infra.sagemaker.names import Names, digest
from onnxferry.infra.sagemaker.policy_statements import allow, use_of_key

_PREFIX = "onnxferry-batch-"


def batch_policy(names: Names, places: Places, keys: tuple[str, str]) -> dict[str, Any]:
    """PutRolePolicy; `keys` are the KMS keys of the input's bucket and of the output ("" for
    none)."""
    statements = list(_statements(names, places, keys))
    document = json.dumps({"Version": "2012-10-17", "Statement": statements})
    name = f"{_PREFIX}{digest(document)}"
    return {"RoleName": names.role, "PolicyName": name, "PolicyDocument": document}


def taken(names: Names, policy: str) -> Step:
    """A step that takes a policy back."""
    named = {"RoleName": names.role, "PolicyName": policy}
    return Step(Action.DELETE, "role policy", policy, "take_rights", named)


def is_for_batch(policy: str) -> bool:
    """Whether a policy of ours, by its name, is a batch's."""
    return policy.startswith(_PREFIX)


def needed(places: Places) -> str:
    """What a given role needs, for people."""
    read, write = f"{places.input.url}{places.name or '*'}", f"{places.output.url}*"
    return f"s3:GetObject on {read} and s3:PutObject and s3:GetObject on {write}"


def encryption_keys(clients: AwsClients, names: Names, places: Places) -> tuple[str, str]:
    """The customer's KMS keys of the input's bucket, and of the answers."""
    source, out = (_key_of(clients, place) for place in (places.input, places.output))
    return source, names.settings.kms_key or out


def _statements(names: Names, places: Places, keys: tuple[str, str]) -> Iterator[dict[str, Any]]:
    source, out = (_arn(names, place) for place in (places.input, places.output))
    bucket = f"arn:{names.partition}:s3:::{places.input.bucket}"
    prefix = {"StringLike": {"s3:prefix": f"{places.input.folder}{places.name}*"}}
    group = names.arn("logs", f"log-group:{LOG_GROUP}*")
    yield allow(f"{source}{places.name or '*'}", "s3", "GetObject")
    yield {**allow(bucket, "s3", "ListBucket"), "Condition": prefix}
    yield allow(f"{out}*", "s3", "PutObject AbortMultipartUpload")
    yield allow(f"{out}{RECORDS}*", "s3", "GetObject")
    yield allow(group, "logs", "CreateLogGroup CreateLogStream DescribeLogStreams PutLogEvents")
    for key in dict.fromkeys(filter(None, keys)):
        yield use_of_key(names, key, "Decrypt GenerateDataKey" if key == keys[1] else "Decrypt")


def _arn(names: Names, place: Place) -> str:
    return f"arn:{names.partition}:s3:::{place.bucket}/{place.folder}"


def _key_of(clients: AwsClients, place: Place) -> str:
    where = f"bucket {place.bucket}"
    found = clients.if_allowed(
        lambda: clients.call_if_there("s3", "get_bucket_encryption", where, Bucket=place.bucket),
        f"whether {where} has a KMS key, which the role would need rights to, is not known",
    )
    rules = found["ServerSideEncryptionConfiguration"]["Rules"] if found else []
    defaults = (rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules)
    return next((d["KMSMasterKeyID"] for d in defaults if "KMSMasterKeyID" in d), "")

"""What moto lacks of S3: tags that a bucket is created with, what a caller may not do to versions,
and whether a role may read an object that a customer's KMS key encrypts."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any
from xml.sax.saxutils import escape

import xmltodict

from tests.fakes.aws.answers import Answer
from tests.fakes.aws.calls import Call


class Objects:
    """In front of moto's S3. `denied` are permissions ("s3:DeleteObjectVersion") that the caller
    has not, where a whole operation's refusal would be too much."""

    def __init__(self, backend: Callable[[], Any]) -> None:
        self.denied: set[str] = set()
        self._backend = backend

    def answer(self, call: Call, pass_on: Callable[[], Answer]) -> Answer:
        """S3's answer to `call`."""
        if call.operation == "DeleteObjects" and "s3:DeleteObjectVersion" in self.denied:
            listed = xmltodict.parse(call.body, force_list=("Object",))["Delete"]["Object"]
            if any("VersionId" in each for each in listed):
                return _denied(listed)
        answer = pass_on()
        if call.operation == "CreateBucket" and answer.status == 200:
            self._tag(call)
        return answer

    def _tag(self, call: Call) -> None:
        configuration = xmltodict.parse(call.body or b"<CreateBucketConfiguration/>")
        found = (configuration["CreateBucketConfiguration"] or {}).get("Tags") or {"Tag": []}
        tags = found["Tag"] if isinstance(found["Tag"], list) else [found["Tag"]]
        bucket = self._backend().buckets[call.path.strip("/")]
        if tags:
            self._backend().put_bucket_tagging(
                bucket.name, {tag["Key"]: tag["Value"] for tag in tags}
            )

    def unreadable(self, bucket: str, policies: Mapping[str, str]) -> str:
        """Why a role with these policies (documents) cannot read objects of a bucket; "" if it
        can."""
        encryption = self._backend().buckets[bucket].encryption or {}
        rule = (
            (encryption.get("Rule") or [{}])[0]
            if isinstance(encryption.get("Rule"), list)
            else encryption.get("Rule") or {}
        )
        key = (rule.get("ApplyServerSideEncryptionByDefault") or {}).get("KMSMasterKeyID", "")
        if not key:
            return ""
        statements = [s for text in policies.values() for s in json.loads(text)["Statement"]]
        allowed = [s for s in statements if "kms:Decrypt" in s["Action"]]
        resources = [s["Resource"] for s in allowed if _fits(s, key)]
        return "" if resources else f"kms:Decrypt on {key}"


def unwritable(bucket: str, key: str, policies: Mapping[str, str]) -> str:
    """The permission that a role with these policies (documents) lacks to write an object; "" if
    none."""
    statements = [s for text in policies.values() for s in json.loads(text)["Statement"]]
    places = [s["Resource"] for s in statements if "s3:PutObject" in s["Action"]]
    listed = [p for place in places for p in ([place] if isinstance(place, str) else place)]
    where = f"arn:aws:s3:::{bucket}/{key}"
    return "" if any(fnmatchcase(where, p) for p in listed) else f"s3:PutObject on {where}"


def _fits(statement: Mapping[str, Any], key: str) -> bool:
    """Whether a statement is about the key, which is told by id, ARN or alias."""
    resource, alias = str(statement["Resource"]), key.rpartition(":")[2]
    if alias.startswith("alias/"):
        condition = statement.get("Condition", {}).get("ForAnyValue:StringEquals", {})
        return resource.endswith("key/*") and condition.get("kms:ResourceAliases") == alias
    return resource.startswith("arn:") and resource.endswith(f"key/{key.rpartition('/')[2]}")


def _denied(listed: list[dict[str, str]]) -> Answer:
    errors = "".join(
        f"<Error><Key>{escape(each['Key'])}</Key><VersionId>{each['VersionId']}</VersionId>"
        "<Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
        for each in listed
    )
    body = f"<DeleteResult>{errors}</DeleteResult>"
    return Answer(200, body.encode(), {"Content-Type": "application/xml"})

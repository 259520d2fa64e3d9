"""The bucket, and a package's way into it. packages.py says which objects are ours."""

from __future__ import annotations

import base64
import hashlib
import re
import threading
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotAllowed, NotFound, PublishFailed, Refused
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import (
    BUCKET_TAG,
    READY_TAG,
    TEMPLATE_TAG,
    Names,
    own_template,
    values_of,
)
from onnxferry.infra.sagemaker.packages import Packages, is_marked, listing
from onnxferry.system.console import Progress
from onnxferry.system.hashes import sha256


def bucket_state(clients: AwsClients, names: Names) -> str:
    """ "absent", "half-made" or "ready". Raises NotFound for a given bucket, Refused for one of
    another region, NotAllowed or NameTaken."""
    where, given = f"bucket {names.bucket}", names.settings.bucket
    try:
        found = clients.call("s3", "head_bucket", where, **names.at(names.bucket))
    except NotFound as e:
        if not given:
            return "absent"
        e.with_context("sagemaker.bucket names it, and only the default bucket is created", "; ")
        raise
    except NotAllowed as e:
        if given:
            raise
        raise NameTaken(
            f"{e}\nMaybe another account has the bucket {names.bucket}; then set sagemaker.bucket"
            " to one of yours"
        ) from e
    region = found.get("BucketRegion", names.region)
    if region != names.region:
        raise Refused(
            f"AWS {names.region}, {where}: it is in {region}, and SageMaker reads packages of its"
            " own region only; set sagemaker.region, or another sagemaker.bucket"
        )
    return "ready" if given else _made(clients, names)


def _made(clients: AwsClients, names: Names) -> str:
    """The state of the default bucket, by its tags."""
    where, tags = f"bucket {names.bucket}", _bucket_tags(clients, names)
    if READY_TAG in tags:
        return "ready"
    if BUCKET_TAG in tags:
        return "half-made"
    raise NameTaken(
        f"AWS {names.region}, {where}: it has no tag {BUCKET_TAG}, so onnxferry did not make it,"
        " and changes nothing about it. Name it as sagemaker.bucket to use it as it is; or delete"
        " it, and it is made anew"
    )


def _bucket_tags(clients: AwsClients, names: Names) -> dict[str, str]:
    where, request = f"bucket {names.bucket}", names.at(names.bucket)
    found = clients.call_if_there("s3", "get_bucket_tagging", where, **request)
    return values_of(found["TagSet"]) if found else {}


def encryption_key(clients: AwsClients, names: Names) -> str:
    """The customer's KMS key (id, alias or ARN) that a given bucket encrypts with; "" for none."""
    where, request = f"bucket {names.bucket}", {"Bucket": names.bucket}
    if not names.settings.bucket:
        return ""
    found = clients.if_allowed(
        lambda: clients.call_if_there("s3", "get_bucket_encryption", where, **request),
        f"whether {where} has a KMS key, which the role would need kms:Decrypt for, is not known",
    )
    rules = found["ServerSideEncryptionConfiguration"]["Rules"] if found else []
    defaults = (rule.get("ApplyServerSideEncryptionByDefault", {}) for rule in rules)
    return next((d["KMSMasterKeyID"] for d in defaults if "KMSMasterKeyID" in d), "")


def bucket_is_spare(clients: AwsClients, names: Names, found: Iterable[Packages]) -> bool:
    """Whether we made the bucket, by `deploy` or by this endpoint's template, and all that is in it
    are packages that are `found` there, and the lease."""
    if names.settings.bucket or bucket_state(clients, names) != "ready":
        return False
    template = _bucket_tags(clients, names).get(TEMPLATE_TAG)
    if template not in (None, own_template(names.endpoint)):
        return False
    there = listing(clients, names, names.bucket, "")
    ours = {key for one in found if one.bucket == names.bucket for key in one.keys}
    latest = {key for key, _ in ours} | {names.lease_key}
    versions = {*there.older, *there.markers, *there.uploads} - ours
    return set(there.latest) <= latest and {key for key, _ in versions} <= {names.lease_key}


def stored(clients: AwsClients, names: Names, package: Upload) -> str:
    """ "absent", "same", or "other" where something else of ours has the package's name. Raises
    NameTaken where something that is not ours has it."""
    found = set(_stored(clients, names, package).values())
    return next((state for state in ("other", "absent") if state in found), "same")


def _stored(clients: AwsClients, names: Names, package: Upload) -> dict[str, str]:
    """`stored` for each of the package's keys."""
    archive = (package.size, clients.checksum(Path(package.path)))
    return {
        package.golden_key: golden_stored(clients, names, package),
        package.key: _state(clients, names, package, package.key, archive),
    }


def golden_stored(clients: AwsClients, names: Names, package: Upload) -> str:
    """`stored` for golden.json."""
    golden = package.golden.encode()
    digest = base64.b64encode(hashlib.sha256(golden).digest()).decode()
    return _state(clients, names, package, package.golden_key, (len(golden), digest))


def _state(
    clients: AwsClients, names: Names, package: Upload, key: str, content: tuple[int, str]
) -> str:
    head = _head(clients, package, key)
    found = "absent" if not head else "same" if _content(head) == content else "other"
    if found == "other" and not is_marked(names, head):
        raise NameTaken(
            f"AWS {names.region}, s3://{package.bucket}/{key}: an object that onnxferry did"
            " not put there (it has not its mark); move it away, or set sagemaker.prefix"
        )
    return found


def _head(clients: AwsClients, package: Upload, key: str) -> Any:
    head = ("s3", "head_object", f"s3://{package.bucket}/{key}")
    request = {"Bucket": package.bucket, "Key": key, **package.owner}
    return clients.call_if_there(*head, ChecksumMode="ENABLED", **request)


def _content(head: Mapping[str, Any]) -> tuple[int, str]:
    return head["ContentLength"], head.get("ChecksumSHA256", "").partition("-")[0]


def put(clients: AwsClients, names: Names, package: Upload, progress: Progress) -> None:
    """Upload golden.json, then the package, where they are not there. Raises PublishFailed if S3
    has not what was sent, or the file is no longer what was planned, and NameTaken as `stored`."""
    path, bucket = Path(package.path), package.bucket
    if sha256(path) != package.sha256:
        raise PublishFailed(f"{path}: not the package that was planned; run the same command again")
    there = _stored(clients, names, package)
    if there[package.golden_key] != "same":
        put_golden(clients, package)
    if there[package.key] != "same":
        sent, mark = _adding_up(package.size, progress), {"Metadata": dict(package.mark)}
        clients.upload(path, bucket, package.key, sent, **mark, **package.owner)
    if stored(clients, names, package) != "same":
        raise PublishFailed(
            f"AWS {clients.region}, {package.url}: what is stored is not what was sent. Run the"
            " same command again, or set another sagemaker.bucket: a rule of this one may change"
            " objects"
        )


def put_golden(clients: AwsClients, package: Upload) -> None:
    """Put golden.json, with our mark."""
    where, body = f"s3://{package.bucket}/{package.golden_key}", package.golden.encode()
    request = {"Bucket": package.bucket, "Key": package.golden_key, "Body": body, **package.owner}
    kind = {"ContentType": "application/json", "ChecksumAlgorithm": "SHA256"}
    clients.call("s3", "put_object", where, Metadata=dict(package.mark), **kind, **request)


def _adding_up(size: int, progress: Progress) -> Callable[[int], None]:
    """Tells `progress` what several threads have sent so far."""
    lock, total = threading.Lock(), 0

    def add(sent: int) -> None:
        nonlocal total
        with lock:
            total += sent
            progress(f"{total / 1e6:.1f} of {size / 1e6:.1f} MB")

    return add


def unmarked(clients: AwsClients, names: Names) -> tuple[str, ...]:
    """Folders of packages of an earlier release, which put no mark on them: below the name alone,
    so that nobody knows whose they are."""
    where, request = f"bucket {names.bucket}", {**names.at(names.bucket), "Prefix": names.prefix}
    try:
        found = clients.pages(
            "s3", "list_objects_v2", "CommonPrefixes", where, Delimiter="/", **request
        )
    except NotFound:
        return ()
    folders = (item["Prefix"] for item in found)
    return tuple(f for f in folders if re.fullmatch(r"[0-9a-f]{64}/", f[len(names.prefix) :]))


def split(url: str) -> tuple[str, str]:
    """s3://BUCKET/KEY as bucket and key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key

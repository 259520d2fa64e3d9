"""The bucket and the packages in it: PREFIX/NAME/SHA256/model.tar.gz, golden.json beside each."""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass

from onnxferry.infra.clients.aws import checksum
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import (
    CloudError,
    NameTaken,
    NotAllowed,
    NotFound,
    PublishFailed,
    Refused,
)
from onnxferry.infra.sagemaker.desired import DesiredState
from onnxferry.infra.sagemaker.names import READY_TAG
from onnxferry.infra.sagemaker.scope import Scope
from onnxferry.infra.smoke import golden_in
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.system.console import Progress


def bucket_state(scope: Scope) -> str:
    """ "absent", "half-made" or "ready". A given bucket must be there, and any must be in the
    region."""
    where = f"bucket {scope.bucket}"
    try:
        found = scope.aws.call("s3", "head_bucket", where, {"Bucket": scope.bucket, **scope.owner})
    except NotFound as e:
        if scope.config.bucket:
            raise NotFound(
                f"{e}; sagemaker.bucket names it, and only the default bucket is created"
            ) from e
        return "absent"
    except NotAllowed as e:
        raise _guessed(scope, e) from e
    region = found.get("BucketRegion", scope.aws.region)
    if region != scope.aws.region:
        raise Refused(
            f"AWS {scope.aws.region}, {where}: it is in {region}, and SageMaker reads packages of"
            " its own region only; set sagemaker.region, or another sagemaker.bucket"
        )
    return "ready" if scope.config.bucket or _tagged(scope) else "half-made"


def _guessed(scope: Scope, e: NotAllowed) -> CloudError:
    if scope.config.bucket:
        return e
    return NameTaken(
        f"{e}\nIt may be that another account has the bucket {scope.bucket}; then set"
        " sagemaker.bucket to one of yours"
    )


def _tagged(scope: Scope) -> bool:
    request = {"Bucket": scope.bucket, **scope.owner}
    try:
        found = scope.aws.call("s3", "get_bucket_tagging", f"bucket {scope.bucket}", request)
    except NotFound:
        return False
    return any(tag["Key"] == READY_TAG for tag in found["TagSet"])


def stored(scope: Scope, bundle: Bundle, want: DesiredState) -> str:
    """ "absent", "same", or "other" where what is stored under the package's name is not the
    package."""
    expected = {
        want.key: (bundle.package.size, checksum(bundle.package.path)),
        want.golden: _facts(golden_text(bundle)),
    }
    found = {key: _stored(scope, key) for key in expected}
    if found == expected:
        return "same"
    return "other" if any(found.values()) else "absent"


def _stored(scope: Scope, key: str) -> tuple[int, str] | None:
    request = {"Bucket": scope.bucket, "Key": key, "ChecksumMode": "ENABLED", **scope.owner}
    try:
        found = scope.aws.call("s3", "head_object", f"s3://{scope.bucket}/{key}", request)
    except NotFound:
        return None
    return found["ContentLength"], found.get("ChecksumSHA256", "").partition("-")[0]


def _facts(text: bytes) -> tuple[int, str]:
    return len(text), base64.b64encode(hashlib.sha256(text).digest()).decode()


def put(scope: Scope, bundle: Bundle, want: DesiredState, progress: Progress) -> None:
    """Upload golden.json, then the package, and ask S3 whether it has what was sent. Raises
    PublishFailed if not."""
    body = {
        "Body": golden_text(bundle),
        "ContentType": "application/json",
        "ChecksumAlgorithm": "SHA256",
    }
    request = {"Bucket": scope.bucket, "Key": want.golden, **body, **scope.owner}
    scope.aws.call("s3", "put_object", f"s3://{scope.bucket}/{want.golden}", request)
    scope.aws.upload(
        bundle.package.path,
        (scope.bucket, want.key),
        scope.owner,
        _Progress(bundle.package.size, progress),
    )
    if stored(scope, bundle, want) != "same":
        raise PublishFailed(
            f"AWS {scope.aws.region}, s3://{scope.bucket}/{want.key}: what is stored is not what"
            " was sent; does a rule of the bucket change or remove objects? Run the same command"
            " again, or set another sagemaker.bucket"
        )


class _Progress:
    """Adds up what several threads have sent."""

    def __init__(self, size: int, progress: Progress) -> None:
        self._size, self._note, self._sent, self._lock = size, progress, 0, threading.Lock()

    def __call__(self, sent: int) -> None:
        with self._lock:
            self._sent += sent
            self._note(f"{self._sent / 1e6:.1f} of {self._size / 1e6:.1f} MB")


def golden_text(bundle: Bundle) -> bytes:
    """golden.json: what model_spec.json says of the golden request, in its format."""
    return ModelSpec(bundle.package.model, "golden", golden=bundle.golden).to_json().encode()


def golden(scope: Scope, url: str) -> Golden:
    """The golden request that is kept beside the package at `url` (s3://...)."""
    bucket, key = split(url)
    key = f"{key.rpartition('/')[0]}/golden.json"
    where = f"s3://{bucket}/{key}"
    answer = scope.aws.call("s3", "get_object", where, {"Bucket": bucket, "Key": key})
    return golden_in(answer["Body"].read(), where)


@dataclass(frozen=True)
class Packages:
    """What one bucket holds for an endpoint: objects, and unfinished uploads as (key, upload
    id)."""

    bucket: str
    prefix: str
    keys: tuple[str, ...]
    uploads: tuple[tuple[str, str], ...]

    def versions(self) -> dict[str, list[str]]:
        """Version -> its keys."""
        found: dict[str, list[str]] = {}
        for key in self.keys:
            found.setdefault(key[len(self.prefix) :].partition("/")[0][:12], []).append(key)
        return found


def packages(scope: Scope, bucket: str, prefix: str) -> Packages | None:
    """What is below `prefix`; None where there is no such bucket."""
    where, request = f"bucket {bucket}", {"Bucket": bucket, "Prefix": prefix}
    try:
        keys = scope.aws.pages("s3", "list_objects_v2", "Contents", where, request)
        uploads = scope.aws.pages("s3", "list_multipart_uploads", "Uploads", where, request)
    except NotFound:
        return None
    return Packages(
        bucket,
        prefix,
        tuple(item["Key"] for item in keys),
        tuple((u["Key"], u["UploadId"]) for u in uploads),
    )


def split(url: str) -> tuple[str, str]:
    """s3://BUCKET/KEY as bucket and key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key

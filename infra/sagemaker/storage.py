"""The bucket and the packages in it: PREFIX/NAME/SHA256/model.tar.gz, golden.json beside each."""

from __future__ import annotations

import base64
import hashlib
import threading
from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotAllowed, NotFound, PublishFailed, Refused
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import READY_TAG, Names
from onnxferry.system.console import Progress
from onnxferry.system.hashes import sha256


def bucket_state(clients: AwsClients, names: Names) -> str:
    """ "absent", "half-made" or "ready". A given bucket must be there, and any must be in the
    region. Raises NotFound, Refused, NotAllowed or NameTaken."""
    where, given = f"bucket {names.bucket}", names.settings.bucket
    request = {"Bucket": names.bucket, **names.owner}
    try:
        found = clients.call("s3", "head_bucket", where, request)
    except NotFound as e:
        if given:
            text = "sagemaker.bucket names it, and only the default bucket is created"
            e.with_context(text, "; ")
            raise
        return "absent"
    except NotAllowed as e:
        if given:
            raise
        raise NameTaken(
            f"{e}\nIt may be that another account has the bucket {names.bucket}; then set"
            " sagemaker.bucket to one of yours"
        ) from e
    region = found.get("BucketRegion", names.region)
    if region != names.region:
        raise Refused(
            f"AWS {names.region}, {where}: it is in {region}, and SageMaker reads packages of its"
            " own region only; set sagemaker.region, or another sagemaker.bucket"
        )
    return "ready" if given or _is_tagged(clients, where, request) else "half-made"


def _is_tagged(clients: AwsClients, where: str, request: dict[str, str]) -> bool:
    try:
        found = clients.call("s3", "get_bucket_tagging", where, request)
    except NotFound:
        return False
    return any(tag["Key"] == READY_TAG for tag in found["TagSet"])


def bucket_is_spare(clients: AwsClients, names: Names) -> bool:
    """Whether the default bucket is there, and nothing but this endpoint's packages is in it."""
    if names.settings.bucket or bucket_state(clients, names) == "absent":
        return False
    where, request = f"bucket {names.bucket}", {"Bucket": names.bucket}
    try:
        found = clients.pages("s3", "list_objects_v2", "Contents", where, request)
    except NotFound:
        return False
    return all(item["Key"].startswith(names.prefix) for item in found)


def stored(clients: AwsClients, package: Upload) -> str:
    """ "absent", "same", or "other" where what is stored under the package's name is not the
    package."""
    golden = package.golden.encode()
    expected = {
        package.key: (package.size, clients.checksum(Path(package.path))),
        package.golden_key: (len(golden), _base64(golden)),
    }
    found = {key: _facts(clients, package, key) for key in expected}
    if found == expected:
        return "same"
    return "other" if any(found.values()) else "absent"


def _facts(clients: AwsClients, package: Upload, key: str) -> tuple[int, str] | None:
    """Size and checksum of an object; None if there is none."""
    request = {"Bucket": package.bucket, "Key": key, "ChecksumMode": "ENABLED", **package.owner}
    try:
        found = clients.call("s3", "head_object", f"s3://{package.bucket}/{key}", request)
    except NotFound:
        return None
    return found["ContentLength"], found.get("ChecksumSHA256", "").partition("-")[0]


def _base64(text: bytes) -> str:
    return base64.b64encode(hashlib.sha256(text).digest()).decode()


def put(clients: AwsClients, package: Upload, progress: Progress) -> None:
    """Upload golden.json, then the package, and ask S3 whether it has what was sent. Raises
    PublishFailed if not, or if the file is no longer what was planned."""
    where, path = f"s3://{package.bucket}/{package.key}", Path(package.path)
    if sha256(path) != package.sha256:
        raise PublishFailed(f"{path}: not the package that was planned; run the same command again")
    request = {
        "Bucket": package.bucket,
        "Key": package.golden_key,
        "Body": package.golden.encode(),
        "ContentType": "application/json",
        "ChecksumAlgorithm": "SHA256",
        **package.owner,
    }
    clients.call("s3", "put_object", f"s3://{package.bucket}/{package.golden_key}", request)
    sent = _Sent(package.size, progress)
    clients.upload(path, (package.bucket, package.key), package.owner, sent)
    if stored(clients, package) != "same":
        raise PublishFailed(
            f"AWS {clients.region}, {where}: what is stored is not what was sent; does a rule of"
            " the bucket change or remove objects? Run the same command again, or set another"
            " sagemaker.bucket"
        )


class _Sent:
    """Adds up what several threads have sent."""

    def __init__(self, size: int, progress: Progress) -> None:
        self._size, self._progress = size, progress
        self._sent, self._lock = 0, threading.Lock()

    def __call__(self, sent: int) -> None:
        with self._lock:
            self._sent += sent
            self._progress(f"{self._sent / 1e6:.1f} of {self._size / 1e6:.1f} MB")


@dataclass(frozen=True)
class Packages:
    """What one bucket holds for an endpoint: objects, and unfinished uploads as (key, upload
    id)."""

    bucket: str
    prefix: str
    keys: tuple[str, ...] = ()
    uploads: tuple[tuple[str, str], ...] = ()

    def versions(self) -> dict[str, list[str]]:
        """Version -> its keys."""
        found: dict[str, list[str]] = {}
        for key in self.keys:
            found.setdefault(key[len(self.prefix) :].partition("/")[0][:12], []).append(key)
        return found


def packages(clients: AwsClients, bucket: str, prefix: str) -> Packages:
    """What is below `prefix`; nothing where there is no such bucket."""
    where, request = f"bucket {bucket}", {"Bucket": bucket, "Prefix": prefix}
    try:
        keys = clients.pages("s3", "list_objects_v2", "Contents", where, request)
        uploads = clients.pages("s3", "list_multipart_uploads", "Uploads", where, request)
    except NotFound:
        return Packages(bucket, prefix)
    return Packages(
        bucket,
        prefix,
        tuple(item["Key"] for item in keys),
        tuple((upload["Key"], upload["UploadId"]) for upload in uploads),
    )


def split(url: str) -> tuple[str, str]:
    """s3://BUCKET/KEY as bucket and key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key

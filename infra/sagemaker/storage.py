"""The bucket and the packages in it: PREFIX/NAME/SHA256/model.tar.gz, golden.json beside each."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NameTaken, NotAllowed, NotFound, PublishFailed, Refused
from onnxferry.infra.sagemaker.desired import Upload
from onnxferry.infra.sagemaker.names import READY_TAG, Names
from onnxferry.system.console import Progress
from onnxferry.system.hashes import sha256


def bucket_state(clients: AwsClients, names: Names) -> str:
    """ "absent", "half-made" or "ready". Raises NotFound for a given bucket, Refused for one of
    another region, NotAllowed or NameTaken."""
    where, given = f"bucket {names.bucket}", names.settings.bucket
    request = {"Bucket": names.bucket, **names.owner}
    try:
        found = clients.call("s3", "head_bucket", where, **request)
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
    if given:
        return "ready"
    tagging = clients.call_if_there("s3", "get_bucket_tagging", where, **request) or {"TagSet": []}
    return "ready" if any(t["Key"] == READY_TAG for t in tagging["TagSet"]) else "half-made"


def bucket_is_spare(clients: AwsClients, names: Names) -> bool:
    """Whether the default bucket is there, with nothing but this endpoint's packages."""
    if names.settings.bucket or bucket_state(clients, names) == "absent":
        return False
    return all(key.startswith(names.prefix) for key in packages(clients, names.bucket, "").keys)


def stored(clients: AwsClients, package: Upload) -> str:
    """ "absent", "same", or "other" where something else has the package's name."""
    golden = package.golden.encode()
    digest = base64.b64encode(hashlib.sha256(golden).digest()).decode()
    expected = {
        package.key: (package.size, clients.checksum(Path(package.path))),
        package.golden_key: (len(golden), digest),
    }
    found = {key: _size_and_checksum(clients, package, key) for key in expected}
    if found == expected:
        return "same"
    return "other" if any(found.values()) else "absent"


def _size_and_checksum(clients: AwsClients, package: Upload, key: str) -> tuple[int, str] | None:
    head = ("s3", "head_object", f"s3://{package.bucket}/{key}")
    request = {"Bucket": package.bucket, "Key": key, **package.owner}
    found = clients.call_if_there(*head, ChecksumMode="ENABLED", **request)
    if found is None:
        return None
    return found["ContentLength"], found.get("ChecksumSHA256", "").partition("-")[0]


def put(clients: AwsClients, package: Upload, progress: Progress) -> None:
    """Upload golden.json, then the package. Raises PublishFailed if S3 has not what was sent, or
    the file is no longer what was planned."""
    path, bucket = Path(package.path), package.bucket
    if sha256(path) != package.sha256:
        raise PublishFailed(f"{path}: not the package that was planned; run the same command again")
    key, kind = package.golden_key, {"ContentType": "application/json"}
    request = {"Bucket": bucket, "Key": key, "Body": package.golden.encode(), **package.owner}
    put_object = ("s3", "put_object", f"s3://{bucket}/{key}")
    clients.call(*put_object, ChecksumAlgorithm="SHA256", **kind, **request)
    sent = _adding_up(package.size, progress)
    clients.upload(path, bucket, package.key, sent, **package.owner)
    if stored(clients, package) != "same":
        raise PublishFailed(
            f"AWS {clients.region}, {package.url}: what is stored is not what was sent. Run the"
            " same command again, or set another sagemaker.bucket: a rule of this one may change"
            " objects"
        )


def _adding_up(size: int, progress: Progress) -> Callable[[int], None]:
    """Tells `progress` what several threads have sent so far."""
    lock, total = threading.Lock(), 0

    def add(sent: int) -> None:
        nonlocal total
        with lock:
            total += sent
            progress(f"{total / 1e6:.1f} of {size / 1e6:.1f} MB")

    return add


@dataclass(frozen=True)
class Packages:
    """What one bucket holds for an endpoint: keys, and unfinished uploads as (key, upload id)."""

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
        objects = clients.pages("s3", "list_objects_v2", "Contents", where, **request)
        uploads = clients.pages("s3", "list_multipart_uploads", "Uploads", where, **request)
    except NotFound:
        return Packages(bucket, prefix)
    keys = tuple(item["Key"] for item in objects)
    return Packages(bucket, prefix, keys, tuple((u["Key"], u["UploadId"]) for u in uploads))


def split(url: str) -> tuple[str, str]:
    """s3://BUCKET/KEY as bucket and key."""
    bucket, _, key = url.removeprefix("s3://").partition("/")
    return bucket, key

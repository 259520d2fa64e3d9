"""Which objects of a bucket are ours: those named FOLDER/SHA256/model.tar.gz or golden.json that
carry our mark in their metadata. FOLDER is PREFIX/NAME/ACCOUNT-REGION.

An unfinished upload shows no metadata, and what another tool uploads for us has none. They are ours
where the golden.json of their folder is, which is put first. A marker that hides deleted objects
goes only with all that it hides.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotFound
from onnxferry.infra.sagemaker.async_inference import ASYNC
from onnxferry.infra.sagemaker.names import Names

Key = tuple[str, str]  # an object's key, and S3's version of it: "" where the bucket keeps none

_ARCHIVE, _GOLDEN = "model.tar.gz", "golden.json"


@dataclass(frozen=True)
class Package:
    """One package's objects, its delete markers and its unfinished uploads (key, upload id)."""

    sha256: str
    objects: tuple[Key, ...]
    markers: tuple[Key, ...] = ()
    uploads: tuple[Key, ...] = ()

    @property
    def version(self) -> str:
        """The version in names."""
        return self.sha256[:12]


@dataclass(frozen=True)
class Packages:
    """What one bucket holds in an endpoint's folder: packages, the `lease`'s key ("" without one),
    and how many keys are not ours; `queued` are those of asynchronous requests and their answers,
    which carry no mark."""

    bucket: str
    folder: str
    found: tuple[Package, ...] = ()
    lease: str = ""
    others: int = 0
    queued: int = 0

    @property
    def keys(self) -> set[Key]:
        """All that is deleted with the packages."""
        return {key for one in self.found for key in (*one.objects, *one.markers, *one.uploads)}


@dataclass(frozen=True)
class Listing:
    """Below a prefix: objects as they are now, older versions of them, delete markers, and
    unfinished uploads."""

    latest: tuple[str, ...] = ()
    older: tuple[Key, ...] = ()
    markers: tuple[Key, ...] = ()
    uploads: tuple[Key, ...] = ()

    @property
    def empty(self) -> bool:
        """Nothing is there."""
        return not (self.latest or self.older or self.markers or self.uploads)


def place_of(names: Names, url: str) -> tuple[str, str] | None:
    """The bucket and the folder of a package (s3://...) that is named as ours; None for another."""
    found = re.fullmatch(rf"s3://([^/]+)/({names.package_place}){_object(names)}", url)
    return (found[1], found[2]) if found else None


def listing(clients: AwsClients, names: Names, bucket: str, prefix: str) -> Listing:
    """What is there. Without the permissions for them, no versions and uploads."""
    where, request = f"bucket {bucket}", {**names.at(bucket), "Prefix": prefix}

    def pages(operation: str, keys: str) -> list[Any]:
        return clients.pages("s3", operation, keys, where, **request)

    versions = clients.if_allowed(
        lambda: pages("list_object_versions", "Versions DeleteMarkers"),
        f"older versions of objects in {where} are not looked for",
    )
    if versions is None:
        versions = [{**o, "IsLatest": True} for o in pages("list_objects_v2", "Contents")]
    uploads = clients.if_allowed(
        lambda: pages("list_multipart_uploads", "Uploads"),
        f"unfinished uploads to {where} are not looked for",
    )
    objects = [v for v in versions if "Size" in v]  # a marker has none
    return Listing(
        tuple(v["Key"] for v in objects if v["IsLatest"]),
        tuple((v["Key"], v["VersionId"]) for v in objects if not v["IsLatest"]),
        tuple((v["Key"], v["VersionId"]) for v in versions if "Size" not in v),
        tuple((u["Key"], u["UploadId"]) for u in uploads or ()),
    )


def packages(clients: AwsClients, names: Names, bucket: str, folder: str) -> Packages:
    """What is in `folder`; nothing where there is no such bucket."""
    try:
        there = listing(clients, names, bucket, folder)
    except NotFound:
        return Packages(bucket, folder)
    named = _named(names, folder, there)
    ours = proved(clients, names, bucket, named)
    shas = sorted({key[len(folder) :][: names.package_digits] for key, _ in ours})
    strange = set(named) - set(ours)
    found = tuple(_package(names, folder + sha, there, ours, strange) for sha in shas)
    lease = f"{folder}lease.json" if f"{folder}lease.json" in there.latest else ""
    known = {lease, *(key for key, version in ours if not version)}
    queued = {key for key in there.latest if key.startswith(f"{folder}{ASYNC}")}
    others = set(there.latest) - known - queued
    return Packages(bucket, folder, found, lease, len(others), len(queued))


def _object(names: Names) -> str:
    return rf"([0-9a-f]{{{names.package_digits}}})/({_ARCHIVE}|{_GOLDEN})".replace(".", r"\.")


def _named(names: Names, folder: str, there: Listing) -> list[Key]:
    """The objects that are named as ours."""
    pattern = re.compile(re.escape(folder) + _object(names))
    named = (*((key, "") for key in there.latest), *there.older)
    return [each for each in named if pattern.fullmatch(each[0])]


def _package(
    names: Names, folder: str, there: Listing, ours: Mapping[Key, Key], strange: Collection[Key]
) -> Package:
    own = [named for named in ours if named[0].startswith(f"{folder}/")]
    keys = {key for key, _ in own}
    hiding = keys - {key for key, _ in strange}
    markers = (marker for marker in there.markers if marker[0] in hiding)
    golden, archive = f"{folder}/{_GOLDEN}", f"{folder}/{_ARCHIVE}"
    uploads = (upload for upload in there.uploads if golden in keys and upload[0] == archive)
    sha = folder[-names.package_digits :]
    return Package(sha, tuple(sorted(ours[k] for k in own)), tuple(markers), tuple(uploads))


def proved(
    clients: AwsClients, names: Names, bucket: str, keys: Iterable[Key]
) -> Mapping[Key, Key]:
    """Those of `keys` that carry our mark now, each with the version that does."""
    found = {}
    for key, version in keys:
        head = _head(clients, names.at(bucket), key, version)
        if head and (is_marked(names, head) or _beside_ours(clients, names, bucket, key)):
            found[key, version] = (key, version or head.get("VersionId", ""))
    return found


def _beside_ours(clients: AwsClients, names: Names, bucket: str, key: str) -> bool:
    """Whether `key` is an archive that another tool has put for us, which sets no mark."""
    folder, _, name = key.rpartition("/")
    if names.archives_marked or name != _ARCHIVE:
        return False
    head = _head(clients, names.at(bucket), f"{folder}/{_GOLDEN}", "")
    return bool(head) and is_marked(names, head)


def _head(clients: AwsClients, at: Mapping[str, str], key: str, version: str) -> Any:
    request = {**at, "Key": key, **({"VersionId": version} if version else {})}
    where = f"s3://{at['Bucket']}/{key}"
    return clients.if_allowed(
        lambda: clients.call_if_there("s3", "head_object", where, **request),
        f"older versions of {where} are left alone" if version else f"{where} is left alone",
    )


def is_marked(names: Names, answer: Mapping[str, Any]) -> bool:
    """Whether an object is ours, by S3's answer to a question about it."""
    metadata: Mapping[str, str] = answer.get("Metadata", {})
    return names.mark().items() <= metadata.items()

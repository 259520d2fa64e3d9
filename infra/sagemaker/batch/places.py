"""Where a batch reads and writes: folders of S3, and which of their objects are inputs, answers and
records of ours.

Answers lie where their inputs lie below the input, or where these lie in their bucket: SageMaker's
documentation shows both for inputs in subfolders.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any

from onnxferry.infra.batch_files import ANSWER, RECORD, dataset_in, folder_key, record_in
from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotFound, Refused
from onnxferry.infra.jobs import FORMATS, BatchRequest, DataFile, Dataset
from onnxferry.infra.sagemaker import storage
from onnxferry.infra.sagemaker.names import Names, digest
from onnxferry.system.errors import UsageError

_PART = 8 << 20  # bytes that are fetched at a time


@dataclass(frozen=True)
class Place:
    """A folder of a bucket; `folder` ends with "/", or is "" for the whole bucket."""

    bucket: str
    folder: str

    @property
    def url(self) -> str:
        """Its s3:// address."""
        return f"s3://{self.bucket}/{self.folder}"

    def at(self, key: str) -> dict[str, str]:
        """An object below it, as requests name it."""
        return {"Bucket": self.bucket, "Key": f"{self.folder}{key}"}


@dataclass(frozen=True)
class Places:
    """The input, of which only the object `name` counts where that is not "", and the output."""

    input: Place
    name: str
    output: Place

    @property
    def digest(self) -> str:
        """8 hexadecimal digits that name both."""
        return digest([self.input.url, self.name, self.output.url])


def places_of(clients: AwsClients, asked: BatchRequest) -> Places:
    """Those of a request. Raises UsageError for what is no address, NotFound, and Refused for a
    bucket of another region."""
    (bucket, key), (out, folder) = _split("input", asked.input), _split("output", asked.output)
    for name in dict.fromkeys((bucket, out)):
        _check_bucket(clients, name)
    if key and not key.endswith("/") and _is_object(clients, bucket, key):
        parent, slash, name = key.rpartition("/")
        return Places(Place(bucket, parent + slash), name, Place(out, folder_key(folder)))
    return Places(Place(bucket, folder_key(key)), "", Place(out, folder_key(folder)))


def dataset(clients: AwsClients, places: Places, since: datetime | None = None) -> Dataset:
    """The inputs, and which have answers (not older than `since`). Raises UsageError where they are
    of no known format, or of several."""
    where, place = f"bucket {places.input.bucket}", places.input
    listed = {"Bucket": place.bucket, "Prefix": f"{place.folder}{places.name}"}
    objects = clients.pages("s3", "list_objects_v2", "Contents", where, **listed)
    sizes = {o["Key"][len(place.folder) :]: o["Size"] for o in objects}
    answered = partial(_answered, clients, places, since)
    return dataset_in(place.url, places.name, sizes, FORMATS, answered)


def start_of(clients: AwsClients, place: Place, file: DataFile, size: int) -> bytes:
    """The first bytes of a file, which has some."""
    where, ranged = f"{place.url}{file.name}", {"Range": f"bytes=0-{size - 1}"}
    return bytes(clients.read_object(where, **place.at(file.name), **ranged)["Body"])


def fetch(clients: AwsClients, places: Places, file: DataFile, path: Path) -> None:
    """Write the answer file of an input to `path`."""
    out, head = places.output, ("s3", "head_object", f"{places.output.url}{file.name}{ANSWER}")
    for way in ("", places.input.folder):
        at = out.at(f"{way}{file.name}{ANSWER}")
        found = clients.call_if_there(*head, **at)
        if found is not None:
            break
    else:
        raise NotFound(f"{head[2]}: no such answer file")
    with path.open("wb") as written:
        for start in range(0, found["ContentLength"], _PART):
            ranged = {"Range": f"bytes={start}-{start + _PART - 1}"}
            written.write(clients.read_object(head[2], **at, **ranged)["Body"])


def record(clients: AwsClients, places: Places) -> Mapping[str, Any] | None:
    """What the output says of its answers; None where it says nothing. Raises UsageError for a
    record that is not ours."""
    where = f"{places.output.url}{RECORD}"
    try:
        text = clients.read_object(where, **places.output.at(RECORD))["Body"]
    except NotFound:
        return None
    return record_in(text, where)


def manifest(place: Place, files: Iterable[DataFile]) -> str:
    """What a job reads, as SageMaker has it."""
    return json.dumps([{"prefix": place.url}, *(file.name for file in files)])


def _answered(
    clients: AwsClients, places: Places, since: datetime | None, files: Iterable[DataFile]
) -> list[str]:
    out, where = places.output, f"bucket {places.output.bucket}"
    listed = {"Bucket": out.bucket, "Prefix": out.folder}
    objects = clients.pages("s3", "list_objects_v2", "Contents", where, **listed)
    new = (o for o in objects if since is None or o["LastModified"] >= since)
    there = {o["Key"][len(out.folder) :] for o in new}
    ways = ("", places.input.folder)
    return [f.name for f in files if any(f"{way}{f.name}{ANSWER}" in there for way in ways)]


def _split(flag: str, url: str) -> tuple[str, str]:
    bucket, key = storage.split(url)
    if not url.startswith("s3://") or not bucket:
        raise UsageError(f"--{flag} {url}: expected an address of S3, like s3://BUCKET/FOLDER/")
    return bucket, key


def _is_object(clients: AwsClients, bucket: str, key: str) -> bool:
    head = ("s3", "head_object", f"s3://{bucket}/{key}")
    return clients.call_if_there(*head, Bucket=bucket, Key=key) is not None


def _check_bucket(clients: AwsClients, bucket: str) -> None:
    where = f"bucket {bucket}"
    found = clients.call("s3", "head_bucket", where, Bucket=bucket)
    if (region := found.get("BucketRegion", clients.region)) != clients.region:
        raise Refused(
            f"AWS {clients.region}, {where}: it is in {region}, and SageMaker reads and writes in"
            " its own region; set sagemaker.region, or copy the files"
        )


def record_of(names: Names, places: Places, version: str) -> dict[str, str]:
    """What is to be said of the answers at the output."""
    source = f"{places.input.url}{places.name}"
    return {"input": source, "endpoint": names.endpoint, "version": version}

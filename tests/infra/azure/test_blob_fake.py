"""The fake's blob storage answers azure-storage-blob as the service does, as far as this project
uses it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError
from azure.storage.blob import BlobServiceClient

from onnxferry.infra.clients.azure import azure_environment, credential
from tests.fakes.azure import AzureFake
from tests.fakes.azure.blob import FakeBlobs

KEY = "a2V5"
ONCE = {
    "retry_total": 0,
    "max_single_put_size": 1000,
    "max_block_size": 400,
    "max_single_get_size": 300,
}


@pytest.fixture
def azure() -> Iterator[AzureFake]:
    with AzureFake() as fake, fake.reachable():
        yield fake


@pytest.fixture
def blobs(azure: AzureFake) -> FakeBlobs:
    azure.blobs.create("acc", "box")
    return azure.blobs


def service(azure: AzureFake, credential: Any = KEY) -> Any:
    url = f"https://acc.blob.{azure.storage_suffix}"
    return BlobServiceClient(url, credential=credential, max_chunk_get_size=300, **ONCE)


def test_bytes_come_back_whole(azure: AzureFake, blobs: FakeBlobs) -> None:
    for size in (0, 1, 999, 5000):
        data = bytes(range(256)) * 20
        blob = service(azure).get_blob_client("box", f"a/b c {size}.bin")
        blob.upload_blob(data[:size], metadata={"sha": "abc"})
        assert blob.download_blob().readall() == data[:size]
        assert blob.get_blob_properties().size == size
        assert blob.get_blob_properties().metadata == {"sha": "abc"}
    assert len(blobs.names("acc", "box")) == 4


def test_lists_overwrites_and_deletes(azure: AzureFake, blobs: FakeBlobs) -> None:
    container = service(azure).get_container_client("box")
    for name in ("a/1", "a/2", "b/1"):
        container.upload_blob(name, b"x", metadata={"n": name[-1]})
    assert [b.name for b in container.list_blobs("a/")] == ["a/1", "a/2"]
    assert [b.metadata for b in container.list_blobs("a/", include=["metadata"])] == [
        {"n": "1"},
        {"n": "2"},
    ]
    assert [b.name for b in container.walk_blobs("")] == ["a/", "b/"]
    with pytest.raises(ResourceExistsError):
        container.upload_blob("a/1", b"y")
    container.upload_blob("a/1", b"y", overwrite=True)
    container.get_blob_client("a/1").set_blob_metadata({"done": "yes"})
    container.delete_blob("a/2")
    assert blobs.names("acc", "box") == ["a/1", "b/1"]
    assert blobs.accounts["acc"]["box"]["a/1"].data == b"y"


def test_containers_come_and_go(azure: AzureFake, blobs: FakeBlobs) -> None:
    container = service(azure).get_container_client("other")
    assert not container.exists()
    container.create_container()
    assert container.exists()
    with pytest.raises(ResourceExistsError):
        container.create_container()
    container.delete_container()
    assert list(blobs.accounts["acc"]) == ["box"]


def test_tells_who_may(azure: AzureFake, blobs: FakeBlobs) -> None:
    by_token = service(azure, credential(azure_environment())).get_container_client("box")
    by_key = service(azure).get_container_client("box")
    by_token.upload_blob("a", b"")
    blobs.denied.add("acc")
    blobs.keyless.add("acc")
    with pytest.raises(HttpResponseError, match="AuthorizationPermissionMismatch"):
        by_token.upload_blob("b", b"")
    with pytest.raises(
        (HttpResponseError, ClientAuthenticationError), match="KeyBasedAuthenticationNotPermitted"
    ):
        by_key.upload_blob("b", b"")

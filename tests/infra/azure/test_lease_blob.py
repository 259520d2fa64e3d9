"""A lease's document in blob storage: written where nobody else wrote meanwhile, aged by the
server's clock."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from onnxferry.infra.clients.azure import AzureSession, azure_environment, credential
from onnxferry.infra.clients.azure_blobs import BlobContainer, BlobLease
from onnxferry.infra.errors import NotFound
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.faults import Fault
from tests.fakes.azure.in_process import in_process

NAME = "squad/lease.json"


@pytest.fixture(scope="module")
def fake() -> Iterator[AzureFake]:
    with AzureFake() as fake, fake.reachable(), in_process(fake):
        yield fake


@pytest.fixture
def azure(fake: AzureFake) -> AzureFake:
    fake.blobs.accounts.clear()
    fake.blobs.create("acc", "box")
    fake.clock.ahead = 0
    return fake


def lease(azure: AzureFake, container: str = "box") -> BlobLease:
    where = azure_environment()
    session = AzureSession(where, credential(where), SUBSCRIPTION, interval=0.01)
    url = f"https://acc.blob.{azure.storage_suffix}"
    return BlobLease(BlobContainer(session, url, container), NAME)


def test_only_one_writes_on_what_was_read(azure: AzureFake) -> None:
    first, second = lease(azure), lease(azure)
    assert first.read() is None
    etag = first.write("mine", "")
    assert etag
    assert second.write("yours", "") is None
    renewed = first.write("mine", etag)
    assert renewed not in (None, etag)
    assert second.write("yours", etag) is None
    found = second.read()
    assert found
    assert (found.text, found.etag) == ("mine", renewed)
    assert second.write("yours", found.etag)
    assert azure.blobs.accounts["acc"]["box"][NAME].data == b"yours"


def test_what_is_gone_is_not_renewed(azure: AzureFake) -> None:
    mine = lease(azure)
    etag = mine.write("mine", "")
    mine.container.delete(NAME)
    assert mine.write("mine", etag or "") is None
    assert azure.blobs.names("acc", "box") == []


def test_of_many_at_once_one_is_first(azure: AzureFake) -> None:
    with ThreadPoolExecutor(4) as threads:
        etags = list(threads.map(lambda i: lease(azure).write(str(i), ""), range(4)))
    assert len([etag for etag in etags if etag]) == 1


@pytest.mark.parametrize("ahead", [0.0, -5400.0, 7200.0])
def test_its_age_is_by_the_servers_clock(azure: AzureFake, ahead: float) -> None:
    azure.clock.ahead = ahead
    mine = lease(azure)
    mine.write("mine", "")
    azure.clock.ahead += 90
    found = mine.read()
    assert found
    assert 89 <= found.age <= 99


@pytest.mark.parametrize("fault", [Fault.DROPPED_AFTER, Fault.DROPPED_BEFORE, Fault.THROTTLED])
@pytest.mark.parametrize("before", ["", "old"])
def test_a_second_try_is_not_another(azure: AzureFake, fault: Fault, before: str) -> None:
    mine = lease(azure)
    etag = mine.write(before, "") if before else ""
    assert etag is not None
    mine.container.list("")  # signed in
    azure.restart_counting()
    azure.faults.at = {0: fault}
    renewed = mine.write("mine", etag)
    found = mine.read()
    assert found
    assert (found.text, found.etag) == ("mine", renewed)


def test_its_place_must_be_there(azure: AzureFake) -> None:
    for mine in (lease(azure, "none"), lease(azure, "none")):
        with pytest.raises(NotFound, match="container"):
            mine.write("mine", "")
        with pytest.raises(NotFound, match="container"):
            mine.read()
        azure.blobs.accounts.clear()  # now the account is gone, too

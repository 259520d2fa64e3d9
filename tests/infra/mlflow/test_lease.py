"""A lease as registered models: written where nobody else wrote meanwhile."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.errors import LeaseHeld, NameTaken
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.lease import held, this_run
from onnxferry.infra.mlflow.cloud import MlflowCloud
from onnxferry.infra.mlflow.lease_store import RegisteredLease
from onnxferry.infra.mlflow.names import Names
from tests.infra.mlflow.conftest import deploy
from tests.infra.quiet import QuietReport


@pytest.fixture
def store(server: MlflowServer) -> RegisteredLease:
    return RegisteredLease(server, Names("squad", "onnxferry"))


def leases(store: RegisteredLease) -> list[str]:
    return sorted(one.name for one in store.server.models("name LIKE '%-lease-%'"))


def test_only_one_writes_on_what_was_read(store: RegisteredLease) -> None:
    assert store.read() is None
    etag = store.write("mine", "")
    assert etag
    assert store.write("yours", "") is None
    renewed = store.write("mine again", etag)
    assert renewed not in (None, etag)
    assert store.write("yours", etag) is None
    found = store.read()
    assert found
    assert (found.text, found.etag) == ("mine again", renewed)
    assert 0 <= found.age < 60
    assert store.write("yours", found.etag)
    assert leases(store) == ["squad-lease-3"]


def test_of_many_that_write_at_once_one_has_written(store: RegisteredLease) -> None:
    etag = ""
    for _ in range(3):
        with ThreadPoolExecutor(4) as pool:
            written = list(pool.map(lambda n: store.write(f"run {n}", etag), range(4)))  # noqa: B023
        (number,) = (n for n, one in enumerate(written) if one)
        found = store.read()
        assert found
        assert (found.text, found.etag) == (f"run {number}", written[number])
        etag = found.etag


def test_a_number_that_is_free_again_is_not_had_again(store: RegisteredLease) -> None:
    first = store.write("one", "")
    assert first
    second = store.write("two", first)
    assert second
    assert store.write("three", second)
    assert store.write("late", first) is None  # number 2 is free now
    assert store.write("late", "") is None  # and so is number 1
    assert leases(store) == ["squad-lease-3"]


def test_what_was_deleted_is_not_renewed(store: RegisteredLease) -> None:
    etag = store.write("mine", "")
    assert etag
    store.delete()
    assert store.write("mine", etag) is None
    assert leases(store) == []


def test_a_lost_answer_is_found_by_the_next_attempt(store: RegisteredLease) -> None:
    """MLflow's client sends again what has arrived."""
    store.server.create_model("squad-lease-1", {"onnxferry_lease": "squad"}, "mine")
    assert store.write("mine", "") == "1"
    assert store.write("yours", "") is None


def test_a_model_of_somebody_elses_is_no_lease(store: RegisteredLease) -> None:
    store.server.create_model("squad-lease-1", {}, "a model of theirs")
    store.server.create_model("squad-lease-large", {"onnxferry_lease": "squad"}, "")
    assert store.read() is None
    with pytest.raises(NameTaken, match="squad-lease-1: it is there, and is no lease"):
        store.write("mine", "")


def test_a_second_run_is_told_and_nothing_is_left_in_the_end(
    cloud: MlflowCloud, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    with (
        held(cloud.lease_store, this_run("deploy"), print),
        pytest.raises(LeaseHeld, match="works at this endpoint; nothing is done"),
    ):
        execute(lambda: cloud.plan_deploy(versions["b"]), cloud, Consent(yes=True, terminal=False))
    assert cloud.status().version == versions["a"].version
    execute(cloud.plan_delete, cloud, Consent(yes=True, terminal=False))
    assert cloud.server.models() == []


def test_a_lease_is_no_version_and_no_endpoint(
    cloud: MlflowCloud, store: RegisteredLease, versions: dict[str, Bundle]
) -> None:
    deploy(cloud, versions["a"])
    store.write("mine", "")
    assert {one.name for one in cloud.listed() if one.kind == "registered model"} == {"squad"}
    apply(cloud.plan_delete(), cloud, QuietReport())
    assert cloud.server.models() == []

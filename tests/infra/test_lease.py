"""One run at a time: who holds a lease is told, an expired one is taken, and who has lost it
stops."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onnxferry.infra.apply import Terms, apply
from onnxferry.infra.errors import CloudError, LeaseHeld, LeaseLost, NotFound, Unavailable
from onnxferry.infra.lease import Holder, LeaseStore, at_work, held, this_run
from onnxferry.infra.plan import Action, Plan, Step
from tests.infra.memory_store import MemoryStore
from tests.infra.quiet import QuietReport

ANN = Holder("ann@here, process 1", "deploy", "2026-01-01T00:00:00+00:00")
BOB = replace(ANN, name="bob@there, process 2", run="2")
warnings: list[str] = []


def test_a_second_run_is_told_who_works() -> None:
    store = MemoryStore()
    with held(lambda: store, ANN, warnings.append):
        store.now = 30
        with (
            pytest.raises(LeaseHeld, match=r"ann@here, process 1 \(deploy, since 2026.*30 s ago"),
            held(lambda: store, BOB, warnings.append),
        ):
            raise AssertionError
    with held(lambda: store, BOB, warnings.append) as check:  # once it is released
        check()


def test_who_is_at_work_is_told_while_it_is() -> None:
    store = MemoryStore()
    assert at_work(lambda: store) == ""
    with held(lambda: store, ANN, warnings.append):
        assert at_work(lambda: store) == str(ANN)
        store.now = 1000
        assert at_work(lambda: store) == ""
    assert at_work(lambda: store) == ""


def test_an_expired_lease_is_taken_and_a_forced_one_with_a_warning() -> None:
    store = MemoryStore()
    store.write(json.dumps(vars(ANN)), "")
    store.now = ANN.seconds + 1
    with held(lambda: store, BOB, warnings.append) as bobs:
        said: list[str] = []
        with held(lambda: store, ANN, said.append, force=True) as anns:
            anns()
        assert "bob@there" in said[0]
        del bobs


@pytest.mark.parametrize("text", ["", "not JSON", "[]", '{"nobody": 1}'])
def test_a_document_that_says_nothing_holds_nobody_up(text: str) -> None:
    store = MemoryStore()
    store.write(text, "")
    with held(lambda: store, ANN, warnings.append) as check:
        check()


def test_without_a_place_there_is_nothing_to_guard() -> None:
    def place() -> LeaseStore:
        raise NotFound("no such bucket")

    with held(place, ANN, warnings.append) as check:
        check()


def test_who_has_lost_the_lease_stops_and_puts_nothing_back() -> None:
    store = MemoryStore()
    done = []

    class Slow:
        operations = frozenset({"first", "second", "back"})

        def execute(self, step: Step, progress: object) -> None:
            done.append(step.operation)
            if step.operation == "first":
                taken = store.read()
                assert taken
                store.write(json.dumps(vars(BOB)), taken.etag)
                _until(lambda: store.refused > 0)  # the next renewal

    back = Step(Action.UPDATE, "endpoint", "squad", "back")
    steps = (
        Step(Action.UPDATE, "endpoint", "squad", "first", restore=back, removal=back),
        Step(Action.UPDATE, "endpoint", "squad", "second"),
    )
    with (
        pytest.raises(LeaseLost, match="bob@there"),
        held(lambda: store, replace(ANN, seconds=1.5), warnings.append) as check,
    ):
        plan = Plan("sagemaker", "deploy", "squad", steps)
        apply(plan, Slow(), QuietReport(), Terms(check))
    assert done == ["first"]
    kept = store.read()
    assert kept
    assert "bob" in kept.text  # its release has not touched the other's


def test_a_renewed_lease_does_not_expire_and_a_silent_one_does(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Deaf(MemoryStore):
        deaf = False

        def write(self, text: str, etag: str) -> str | None:
            if self.deaf:
                raise Unavailable("no network")
            return super().write(text, etag)

    store = Deaf()
    with held(lambda: store, replace(ANN, seconds=1.5), warnings.append) as check:
        _until(lambda: store.count > 1)
        check()
        store.deaf = True
        late = time.monotonic() + 2
        monkeypatch.setattr("onnxferry.infra.lease.time", SimpleNamespace(monotonic=lambda: late))
        with pytest.raises(LeaseLost, match="not renewed"):
            check()


def _until(true: Callable[[], bool]) -> None:
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_a_broken_connection_at_the_release_is_no_failure() -> None:
    class Broken(MemoryStore):
        def write(self, text: str, etag: str) -> str | None:
            if etag:
                raise CloudError("no network")
            return super().write(text, etag)

    with held(Broken, ANN, warnings.append):
        pass


@given(st.integers(2, 6))
def test_of_many_at_once_one_has_it(count: int) -> None:
    store, ready = MemoryStore(), threading.Barrier(count)
    won: list[str] = []

    def run(i: int) -> None:
        ready.wait()
        try:
            with held(lambda: store, replace(ANN, name=str(i), run=str(i)), warnings.append):
                won.append(str(i))
                ready.wait()
        except LeaseHeld:
            ready.wait()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1


def test_this_run_names_user_machine_and_process() -> None:
    assert "@" in this_run("deploy").name
    assert "process" in str(this_run("deploy"))

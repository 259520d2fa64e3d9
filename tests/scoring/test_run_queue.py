"""Runs that callers share: who gets what, in which order, and what becomes of errors, interrupts
and forks. The runner is held, so that the callers behind it must wait."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import closing, contextmanager
from pathlib import Path

import numpy as np
import pytest

from onnxferry import scoring
from onnxferry.scoring import timing
from onnxferry.scoring.engine import Array
from onnxferry.scoring.manifest import Tensor
from onnxferry.scoring.run_queue import RunQueue, Shape
from onnxferry.scoring.tokenization import Tokens
from tests import tiny

ROOT = Path(__file__).parents[2]
SECONDS = 30  # after which a test that waits has failed
POISON, INTERRUPT = 666, 667


class Doubling:
    """A Runner that gives back twice the ids; keeps the rows of its runs and how many were at a
    time. A run of POISON fails, one of INTERRUPT is interrupted once."""

    inputs: tuple[Tensor, ...] = (Tensor("ids", "int64", ("batch", "sequence")),)
    outputs: tuple[Tensor, ...] = (Tensor("doubled", "int64", ("batch", "sequence")),)
    batch_dependent, shared_runs = False, True

    def __init__(self, parallel_runs: int = 1) -> None:
        self.parallel_runs = parallel_runs
        self.open = threading.Event()
        self.open.set()
        self.runs: list[list[int]] = []
        self.now = self.most = 0
        self.interrupts = 1
        self._lock = threading.Lock()

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        ids = feeds["ids"]
        with self._lock:
            self.runs.append(ids[:, 0].tolist())
            self.now += 1
            self.most = max(self.most, self.now)
        try:
            assert self.open.wait(SECONDS)
            if POISON in ids:
                raise LookupError("poison")
            if INTERRUPT in ids and self.interrupts:
                self.interrupts -= 1
                raise KeyboardInterrupt
            return [ids * 2]
        finally:
            with self._lock:
                self.now -= 1


def tokens(value: int, length: int = 4) -> Tokens:
    return Tokens(np.full(length, value), np.zeros(length, np.int64))


def feeds(batch: Sequence[Tokens], width: int) -> dict[str, Array]:
    return {"ids": np.stack([np.resize(t.ids, width) for t in batch])}


def ask(queue: RunQueue, *values: int, rows: int = 8, width: int = 4) -> list[int]:
    """What `queue` answers to a caller with a group for each of `values`."""
    groups = [(Shape(width, rows), [tokens(value, width)]) for value in values]
    with closing(queue.run_each(groups)) as answers:
        return [int(output[0, 0]) for (output,) in answers]


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.001)


def waiting(queue: RunQueue) -> int:
    with queue._state.lock:
        return sum(map(len, queue._state.waiting.values()))


@contextmanager
def behind_a_run(queue: RunQueue, runner: Doubling) -> Iterator[Callable[..., Future[list[int]]]]:
    """A way to ask, each call after the one before waits; at the end they are answered."""
    runner.open.clear()
    with ThreadPoolExecutor(32) as threads:
        first = threads.submit(ask, queue, 1)
        until(lambda: runner.now == 1)

        def later(*values: int, **shape: int) -> Future[list[int]]:
            before = waiting(queue)
            asked = threads.submit(ask, queue, *values, **shape)
            until(lambda: waiting(queue) > before)
            return asked

        yield later
        runner.open.set()
        assert first.result(SECONDS) == [2]


def idle(queue: RunQueue, runner: Doubling) -> bool:
    """Whether nothing is left behind: nobody waits, and every slot is free."""
    until(lambda: runner.now == 0)
    until(lambda: queue._state.free == runner.parallel_runs)
    return not queue._state.waiting


def test_those_who_wait_share_the_next_run() -> None:
    queue = RunQueue(runner := Doubling(), feeds)
    with behind_a_run(queue, runner) as later:
        asked = [later(value) for value in range(10, 16)]
    assert [future.result(SECONDS) for future in asked] == [[2 * v] for v in range(10, 16)]
    assert runner.runs == [[1], [10, 11, 12, 13, 14, 15]]
    assert idle(queue, runner)


def test_a_run_has_no_more_rows_than_its_shape_allows() -> None:
    queue = RunQueue(runner := Doubling(), feeds)
    with behind_a_run(queue, runner) as later:
        for value in range(10, 17):
            later(value, rows=3)
        later(20, rows=1)
        later(21, rows=1)
    assert runner.runs == [[1], [10, 11, 12], [13, 14, 15], [16], [20], [21]]


def test_the_oldest_goes_first_and_only_its_shape_with_it() -> None:
    queue = RunQueue(runner := Doubling(), feeds)
    with behind_a_run(queue, runner) as later:
        later(10, width=6)
        later(11)
        later(12, width=6)
        later(13)
    assert runner.runs == [[1], [10, 12], [11, 13]]


def test_a_request_of_many_groups_lets_others_in_between() -> None:
    queue = RunQueue(runner := Doubling(), feeds)
    with behind_a_run(queue, runner) as later:
        many = later(*range(10, 20), rows=1)
        one = later(30)
    assert many.result(SECONDS) == [2 * value for value in range(10, 20)]
    assert one.result(SECONDS) == [60]
    assert runner.runs.index([30]) < 5


def test_an_error_reaches_only_its_owner() -> None:
    queue = RunQueue(runner := Doubling(), feeds)
    with behind_a_run(queue, runner) as later:
        before, bad, after = later(10), later(POISON), later(12)
    assert before.result(SECONDS) == [20]
    assert after.result(SECONDS) == [24]
    with pytest.raises(LookupError, match="poison"):
        bad.result(SECONDS)
    assert idle(queue, runner)


def test_an_interrupted_run_is_done_for_the_others() -> None:
    """The one who ran for all is interrupted; who waits is answered, nothing is left behind."""
    queue = RunQueue(runner := Doubling(), feeds)
    with behind_a_run(queue, runner) as later:
        asked = [later(INTERRUPT), later(10), later(11)]
    done, not_done = wait(asked, SECONDS)
    assert not not_done
    interrupted = [future for future in done if isinstance(future.exception(), KeyboardInterrupt)]
    assert len(interrupted) == 1
    answers = {future.result()[0] for future in done if future not in interrupted}
    assert answers < {2 * INTERRUPT, 20, 22}
    assert len(answers) == 2
    assert idle(queue, runner)


def test_a_caller_that_goes_takes_its_groups_along() -> None:
    queue = RunQueue(runner := Doubling(), feeds)
    answers = queue.run_each([(Shape(4, 8), [tokens(value)]) for value in range(10, 13)])
    assert next(answers)[0][0, 0] == 20
    answers.close()
    assert idle(queue, runner)
    assert ask(queue, 5) == [10]


@pytest.mark.parametrize("slots", [1, 2, 3])
def test_only_so_many_run_at_a_time_and_few_are_ahead(slots: int) -> None:
    queue = RunQueue(runner := Doubling(slots), feeds)
    taken: list[int] = []

    def groups() -> Iterator[tuple[Shape, list[Tokens]]]:
        for value in range(50):
            taken.append(value)
            yield Shape(4, 1), [tokens(value)]

    with ThreadPoolExecutor(8) as threads:
        asked = [threads.submit(ask, queue, *range(20), rows=1) for _ in range(8)]
        read = 0
        with closing(queue.run_each(groups())) as answers:
            for (output,) in answers:
                assert output[0, 0] == 2 * read
                read += 1
                assert len(taken) <= read + 2 * slots
        assert all(future.result(SECONDS) == [2 * v for v in range(20)] for future in asked)
    assert read == 50
    assert runner.most <= slots
    assert idle(queue, runner)


@pytest.mark.parametrize("slots", [2, 4])
def test_threads_help_a_lone_request_of_several_groups(slots: int) -> None:
    queue = RunQueue(runner := Doubling(slots), feeds)
    runner.open.clear()
    with ThreadPoolExecutor(1) as threads:
        asked = threads.submit(ask, queue, *range(10, 20), rows=1)
        until(lambda: runner.now == slots)
        runner.open.set()
        assert asked.result(SECONDS) == [2 * value for value in range(10, 20)]


def test_the_wait_is_a_stage_of_its_own_and_the_batch_is_told() -> None:
    queue = RunQueue(runner := Doubling(), feeds)
    told: list[timing.RequestMetrics] = []

    def measured(value: int) -> None:
        with timing.measuring() as metrics:
            assert ask(queue, value) == [2 * value]
            metrics.milliseconds()
        told.append(metrics)

    with ThreadPoolExecutor(2) as threads, behind_a_run(queue, runner):
        for value in (10, 11):
            threads.submit(measured, value)
        until(lambda: waiting(queue) == 2)
        time.sleep(0.05)
    assert [metrics.batch for metrics in told] == [2, 2]
    for metrics in told:
        assert metrics.seconds["queue"] >= 0.05
        assert metrics.seconds["engine"] > 0


def test_callers_at_random_get_their_own_answers() -> None:
    queue, draw = RunQueue(runner := Doubling(2), feeds), random.Random(0)  # noqa: S311
    calls = [draw.sample(range(1000, 9999), draw.randint(1, 6)) for _ in range(400)]
    widths = [draw.choice([4, 6, 8]) for _ in calls]

    def one(values: list[int], width: int) -> None:
        assert ask(queue, *values, width=width, rows=4) == [2 * value for value in values]

    with ThreadPoolExecutor(64) as threads:
        list(threads.map(one, calls, widths))
    assert idle(queue, runner)


FORKING = """
import os, sys, threading, time
from onnxferry import scoring
scorer = scoring.load(sys.argv[1])
request = scoring.Request(b'{"inputs": ["good day", "bad bad day", "very", "very good day a the"]}')
before = scorer.handle(request).body
done = threading.Event()
def load():
    while not done.is_set():
        scorer.handle(request)
threads = [threading.Thread(target=load) for _ in range(8)]
for thread in threads:
    thread.start()
codes = []
for _ in range(10):
    time.sleep(0.01)
    child = os.fork()
    if not child:
        os._exit(0 if all(scorer.handle(request).body == before for _ in range(3)) else 1)
    codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
done.set()
for thread in threads:
    thread.join()
sys.exit(max(codes))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_process_forked_while_others_run_and_wait_answers(tmp_path: Path) -> None:
    model = tiny.text_classification(tmp_path / "model")
    run = [sys.executable, "-W", "ignore", "-c", FORKING, str(model)]
    assert subprocess.run(run, cwd=ROOT, timeout=SECONDS, check=False).returncode == 0


def marked(scorer: scoring.Scorer, number: int) -> None:
    """A request whose answer only it can have: the digits of `number` in marks of the text."""
    marks = [tiny.WORDS[int(digit)] for digit in f"{number:06}"]
    vector = [tiny.VOCABULARY[mark] for mark in marks]
    body = scoring.Request(f'{{"inputs": "{" ".join(marks)}"}}'.encode(), id=str(number))
    response = scorer.handle(body)
    assert response.headers["X-Request-Id"] == str(number)
    assert response.status == 200, response.body
    rows = json.loads(response.body)[0]
    assert [row[0] for row in rows[1:-1]] == vector


@pytest.mark.parametrize("requests", [2000, pytest.param(100_000, marks=pytest.mark.soak)])
def test_no_answer_of_one_caller_reaches_another(tmp_path: Path, requests: int) -> None:
    """64 threads with texts that can be told from each other by their answers."""
    folder = tiny.feature_extraction(tmp_path / "model")
    own = {word: (float(i), 1.0) for word, i in tiny.VOCABULARY.items()}
    tiny.pooled_graph(folder / "model.onnx", own, 2, pooled=False)
    scorer = scoring.load(folder)
    with ThreadPoolExecutor(64) as threads:
        for asked in [threads.submit(marked, scorer, number) for number in range(requests)]:
            asked.result()

"""What is measured and evaluated, and what is left out, told by given latencies and verdicts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from onnxferry.scoring import Request
from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.selection import candidates, latency
from onnxferry.scripts.prepare.selection.candidates import CandidateResult
from onnxferry.scripts.prepare.selection.criteria import CHEAP, AcceptanceCriteria
from onnxferry.scripts.prepare.selection.elimination import MARGINS, Elimination
from onnxferry.scripts.prepare.selection.latency import Latency
from onnxferry.scripts.prepare.sources.known_outputs import CACHED, KnownOutputs
from onnxferry.scripts.prepare.sources.source import Feeds
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.variants.variant import Variant
from tests.scripts import fake_variants


class Rounds:
    """LatencyRounds with given milliseconds; `told` are the names of each round."""

    def __init__(self, ms: Mapping[str, float]) -> None:
        self._ms = ms
        self.told: list[list[str]] = []

    def of(self, name: str) -> int:
        return sum(name in names for names in self.told)

    def run(self, folders: Mapping[str, Path], progress: Any) -> dict[str, Latency]:
        self.told.append(list(folders))
        return {name: Latency(self._ms[name], None) for name in folders}


class Verdicts:
    """CandidateTester that rejects those of `bad`; an evaluation takes `seconds`."""

    def __init__(self, bad: str, seconds: float) -> None:
        self.evaluator, self._bad = SimpleNamespace(seconds=seconds), bad.split()
        self.judged: list[str] = []

    def judge(self, made: CandidateResult, progress: Any) -> CandidateResult:
        self.judged.append(made.name)
        status = candidates.REJECTED if made.name in self._bad else candidates.WITHIN
        return replace(made, status=status)

    def attempt(self, result: CandidateResult, work: Any) -> CandidateResult:
        try:
            found: CandidateResult = work()
        except KeyError:
            return replace(result, status=candidates.FAILED)
        return found


def decided(
    ms: Mapping[str, float],
    bad: str = "",
    seconds: float = 2 * CHEAP,
    made: str = "",
    mixed: bool = False,
) -> tuple[Verdicts, Rounds, dict[str, CandidateResult]]:
    """fp32 as exported and the others of `ms`, all decided."""
    names = ["fp32", *(made.split() or [name for name in ms if name != "fp32"])]
    variants = [Variant(name, "int8", "", fake_variants.int8) for name in names]
    results = {v.name: CandidateResult(v, candidates.MADE, folder=Path(v.name)) for v in variants}
    results["fp32"] = replace(results["fp32"], status=candidates.WITHIN)
    tester, rounds = Verdicts(bad, seconds), Rounds(ms)
    elimination: Any = Elimination(tester, rounds, results)  # type: ignore[arg-type]
    elimination.measure(["fp32"])
    elimination.measure_first()
    elimination.decide(mixed=mixed)
    if not mixed:
        elimination.finish()
    return tester, rounds, results


def test_what_is_clearly_slower_is_neither_measured_again_nor_evaluated() -> None:
    tester, rounds, results = decided({"fp32": 10, "a": 4, "b": 9})

    assert rounds.told == [["fp32"], ["a"], ["b"]]
    assert tester.judged == ["a"]
    assert (results["b"].status, results["b"].slower) == ("skipped", True)
    assert results["b"].reason == (
        "2.2 times as slow as a, which is within the gate: not evaluated"
    )


def test_for_the_report_all_are_evaluated_where_that_is_cheap() -> None:
    tester, rounds, results = decided({"fp32": 10, "a": 4, "b": 9}, seconds=CHEAP)

    assert rounds.told == [["fp32"], ["a"], ["b"]]
    assert tester.judged == ["a", "b"]
    assert not any(r.slower for r in results.values())


def test_a_rejected_one_makes_room_for_the_next() -> None:
    tester, rounds, results = decided({"fp32": 10, "a": 4, "b": 8}, bad="a b")

    assert tester.judged == ["a", "b"]
    assert [r.status for r in results.values()] == ["within", "rejected", "rejected"]
    assert rounds.told[3:] == [["fp32", "b"]] * 2  # 1.25 times: apart after the third round


def test_equals_are_measured_in_all_rounds_and_all_evaluated() -> None:
    tester, rounds, _ = decided({"fp32": 10, "a": 4, "b": 4.1, "c": 5.5}, bad="a")

    assert rounds.of("a") == rounds.of("b") == len(MARGINS)
    assert rounds.of("c") == 2  # within 1.5 times, but not within 1.25
    assert tester.judged == ["a", "b"]


def test_mixed_precision_comes_before_what_is_much_slower() -> None:
    """As fp32 beside a rejected int8: with mixed precision it need not be evaluated."""
    tester, rounds, _ = decided({"fp32": 10, "copy": 10, "a": 4}, bad="a", mixed=True)
    assert tester.judged == ["a"]
    assert rounds.told == [["fp32"], ["copy"], ["a"]]
    tester, _, _ = decided({"fp32": 10, "copy": 10, "a": 4}, bad="a")
    assert tester.judged == ["a", "copy"]


def test_one_that_cannot_run_fails_alone() -> None:
    tester, _, results = decided({"fp32": 10, "a": 4}, made="a broken")

    assert results["broken"].status == candidates.FAILED
    assert tester.judged == ["a"]


def test_a_slow_model_is_asked_less_in_a_round() -> None:
    samples = [Sample(Request(b'{"inputs": "%d"}' % i), "") for i in range(60)]

    quick = latency.timed_requests("text-classification", samples, *latency.counts(0.001))
    slow = latency.timed_requests("text-classification", samples, *latency.counts(10.0))

    assert (len(quick.ones), quick.size) == (8, 32)
    assert (len(slow.ones), slow.size) == (4, 8)
    assert slow.many
    assert slow.many.body.count(b'"') == quick.many.body.count(b'"') - 2 * 24  # type: ignore[union-attr]


def test_an_evaluation_is_given_up_only_where_it_takes_long() -> None:
    def evaluator(seconds: float, data: object = None) -> Any:
        return SimpleNamespace(seconds=seconds, samples=[None] * 60, eval_set=data)

    gate = AcceptanceCriteria(min_agreement=0.9, max_metric_drop=0.05)
    assert gate.give_up(evaluator(CHEAP)).changed == float("inf")
    assert gate.give_up(evaluator(2 * CHEAP)).changed == pytest.approx(3)
    assert gate.give_up(evaluator(2 * CHEAP, "data")).changed == pytest.approx(6)


def test_a_model_runs_once_for_the_same_feeds() -> None:
    asked: list[Feeds] = []

    def run(feeds: Feeds, outputs: Any) -> list[Array]:
        asked.append(feeds)
        return [feeds["x"] * 2.0]

    known, x = KnownOutputs(run), np.arange(3)
    (first,) = known({"x": x}, ["y"])
    first += 1  # whoever asks may change what it got
    (second,) = known({"x": x.copy()}, ["y"])
    assert second.tolist() == [0, 2, 4]
    assert len(asked) == 1

    for other in ({"x": x.astype(np.int32)}, {"x": x[None]}, {"x": x + 1}, {"x": x, "z": x}):
        known(other, ["y"])
    known({"x": x}, ["z"])
    assert len(asked) == 6
    texts = [{"x": np.array([word], object)} for word in ("a", "b", "a")]
    told = KnownOutputs(lambda feeds, _: [feeds["x"]])
    assert [told(text, [])[0][0] for text in texts] == ["a", "b", "a"]


def test_outputs_beyond_a_limit_are_not_kept() -> None:
    asked: list[int] = []

    def run(feeds: Feeds, outputs: Any) -> list[Array]:
        asked.append(1)
        return [np.zeros(CACHED + 1, np.uint8)]

    known = KnownOutputs(run)
    for _ in range(2):
        known({"x": np.zeros(1)}, [])
    assert len(asked) == 2

"""The arithmetic of a benchmark: schedules, turns, percentiles, ratios, the texts of a
distribution."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from onnxferry.scripts.benchmark import figures, inputs, rounds, specs
from onnxferry.scripts.benchmark.rounds import BenchmarkSettings, EngineResult, Round
from onnxferry.scripts.benchmark.specs import EngineSpec, parse
from onnxferry.scripts.benchmark.worker import LoadedEngine
from onnxferry.system.errors import UsageError

SETTINGS = BenchmarkSettings("text-classification")


def measured(
    name: str, seconds: Sequence[float], kind: str = "torch", answers: tuple[str, ...] = ("a",)
) -> EngineResult:
    rounds = tuple(Round((s / 2, s / 2), s, 10, memory=int(s * 100)) for s in seconds)
    return EngineResult(
        EngineSpec(kind, Path(), name),
        {},
        1.0,
        rounds,
        tuple({"label": a, "score": 1.0} for a in answers),
    )


def test_requests_arrive_as_a_poisson_process_that_the_seed_fixes() -> None:
    times = inputs.arrivals(50, 5000, seed=1)
    gaps = [b - a for a, b in zip([0.0, *times], times, strict=False)]
    assert (
        times
        == sorted(times)
        == inputs.arrivals(50, 5000, seed=1)
        != inputs.arrivals(50, 5000, seed=2)
    )
    assert statistics.fmean(gaps) == pytest.approx(1 / 50, rel=0.05)
    # as an exponential distribution has it
    assert statistics.stdev(gaps) == pytest.approx(1 / 50, rel=0.05)


def slow(items: list[object]) -> list[object]:
    time.sleep(0.02)
    return items


def test_who_waits_for_a_slow_engine_waits_from_the_arrival_on() -> None:
    """Three requests that arrive at once at an engine that takes 20 ms: the last has waited for the
    two others."""
    work = LoadedEngine()
    work._answer = slow
    work.answers([["a"], ["b"]])
    spans = work.play(arrivals=[0.0, 0.0, 0.0], streams=1, seconds=0)
    assert [begin for begin, _ in spans] == [0, 0, 0]
    assert spans[2][1] >= 3 * 0.02
    # a closed loop
    assert [begin >= 0.02 * i for i, (begin, _) in enumerate(work.play(None, 1, 0))] == [True, True]


def test_what_fails_in_a_stream_fails_the_round() -> None:
    work = LoadedEngine()
    work.answers([[1]] * 4)
    work._answer = lambda items: [1 / 0]
    with pytest.raises(ZeroDivisionError):
        work.play(None, 2, 0)


def test_each_engine_is_first_in_turn() -> None:
    assert [rounds.turns("abc", i) for i in range(4)] == [
        list("abc"),
        list("bca"),
        list("cab"),
        list("abc"),
    ]


def test_a_ratio_is_of_medians_and_its_range_of_the_rounds() -> None:
    fast, slow = measured("fast", [1, 2, 3]), measured("slow", [4, 2, 9])
    found = figures.compare(fast, slow, SETTINGS, 3)
    assert (found.times_as_fast, found.least, found.most) == (2, 1, 4)
    assert str(found) == "2.00x (1.00 to 4.00)"
    assert found.times_less_memory == 2


def test_a_peer_is_the_fastest_of_its_kind_or_named() -> None:
    found = [
        measured("a", [1]),
        measured("pipeline", [3], "pipeline"),
        measured("c", [2], "pipeline"),
    ]
    assert [m.spec.name for m in figures.baselines(found, ["pipeline", "a"], "sync")] == ["c", "a"]
    assert [m.spec.name for m in figures.baselines(found, [], "sync")] == ["a"]


def test_a_baseline_that_takes_no_part_is_told_with_each_that_does() -> None:
    with pytest.raises(UsageError, match=r"--baseline other: .*; there are onnxferry, torch$"):
        figures.check_names(["other"], ["onnxferry", "torch", "onnxferry"])


def test_percentiles_and_shares_by_hand() -> None:
    rounds = [Round((0.001, 0.002), 0.01, 4), Round((0.003, 0.004, 0.005), 0.02, 4)]
    found = figures.result(rounds, "singlestream")
    assert (found["median"], found["50.0%"], found["25.0%"]) == (3, 3, 2)
    assert found["99.9%"] == pytest.approx(4.996)
    assert found["items_per_sec"] == (400 + 200) / 2
    mine, peer = (
        measured("a", [1], answers=("x", "y", "z", "x")),
        measured("b", [1], answers=("x", "y", "z", "y")),
    )
    assert figures.compare(mine, peer, SETTINGS, 3).same_answers == 0.75


def test_texts_are_english_of_the_lengths_asked() -> None:
    found = inputs.texts("lognormal:12:0.8", 400, seed=3)
    sizes = [len(text.split()) for text in found]
    assert (
        found
        == inputs.texts("lognormal:12:0.8", 400, seed=3)
        != inputs.texts("lognormal:12:0.8", 400, seed=4)
    )
    assert statistics.median(sizes) == pytest.approx(12, rel=0.15)
    assert max(sizes) > 40 and len(set(found)) > 300
    assert {len(text.split()) for text in inputs.texts("uniform:5:5", 9, 0)} == {5}


def test_a_file_is_taken_evenly_and_cut_into_requests(tmp_path: Path) -> None:
    path = tmp_path / "set.tsv"
    path.write_text("".join(f"text {i}\tgood\n" for i in range(10)))
    items = inputs.read(inputs.BenchmarkInputs(data=path, items=5), "text-classification", ["good"])
    assert items == [f"text {i}" for i in (0, 2, 4, 6, 8)]
    assert inputs.requests(items, 2) == [items[:2], items[2:4], items[4:]]


def test_an_engine_is_named_by_what_tells_it_from_others(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    (one / "m.onnx").touch()
    specs = parse(
        [
            f"deepsparse:sequence_length=128+256@{one}",
            f"torch@{one}",
            f"torch@{other}",
            f"torch:name=x@{one}",
            f"onnxruntime:threads=1,OMP_NUM_THREADS=1@{one / 'm.onnx'}",
        ]
    )
    assert [spec.name for spec in specs] == [
        "deepsparse:sequence_length=128+256",
        "torch@one",
        "torch@other",
        "x",
        "onnxruntime:threads=1,OMP_NUM_THREADS=1",
    ]
    assert specs[0].options == {"sequence_length": [128, 256]}
    assert specs[4].options == {"threads": 1, "file_name": "m.onnx"}
    assert specs[4].environment == {"OMP_NUM_THREADS": "1"}
    assert (specs[4].folder, specs[4].path) == (one, one / "m.onnx")


def test_a_count_with_several_values_makes_candidates_and_a_length_does_not(tmp_path: Path) -> None:
    options = "batch_size=1+8,streams=1+2,sequence_length=16+32"
    (spec,) = parse([f"deepsparse:{options}@{tmp_path}"])
    found = [dict(each.options) for each in specs.candidates(spec)]
    counts = [(each["batch_size"], each["streams"]) for each in found]
    assert counts == [(1, 1), (1, 2), (8, 1), (8, 2)]
    assert all(each["sequence_length"] == [16, 32] for each in found)
    assert specs.searched(spec) == ["batch_size", "streams"]
    (plain,) = parse([f"pipeline:batch_size=8@{tmp_path}"])
    assert specs.candidates(plain) == [plain] and specs.searched(plain) == []

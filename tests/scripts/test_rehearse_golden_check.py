"""When an answer counts as the golden one."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from onnxferry.scoring.golden import difference
from onnxferry.scoring.manifest import Golden
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply, cpu_of, mismatch


def ranked(**scores: Any) -> list[dict[str, Any]]:
    return [{"label": label, "score": score} for label, score in scores.items()]


def thing(label: str, score: float, left: int) -> dict[str, Any]:
    box = {"xmin": left, "ymin": 20, "xmax": 30, "ymax": 40}
    return {"label": label, "score": score, "box": box}


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"answer": "Rebecca", "score": 0.91234}, {"score": 0.91235, "answer": "Rebecca"}),
        ([[1.0, 2.5]], [[1, 2.5]]),
        (0.0, 0.00009),
        (20000.0, 20001.0),
        (None, None),
        (ranked(joy=0.50004, anger=0.5, fear=0.1), ranked(anger=0.50001, joy=0.5, fear=0.1)),
        ([ranked(a=0.5, b=0.5)], [ranked(b=0.5, a=0.5)]),
        (
            {"labels": ["a", "b"], "scores": [0.50002, 0.5]},
            {"labels": ["b", "a"], "scores": [0.5, 0.49999]},
        ),
        (
            {"label": "a", "score": 0.50002, "labels": ranked(a=0.50002, b=0.5)},
            {"label": "b", "score": 0.50001, "labels": ranked(b=0.50001, a=0.5)},
        ),
        (
            {"label": "a", "score": 0.50002, "labels": ["a", "b"], "scores": [0.50002, 0.5]},
            {"label": "b", "score": 0.50001, "labels": ["b", "a"], "scores": [0.50001, 0.5]},
        ),
        ({"answer": '{"b": 0.5, "a": [1]}'}, {"answer": '{"a": [1], "b": 0.50001}'}),
        ([thing("cat", 0.9, 10)], [thing("cat", 0.90001, 11)]),
        ([thing("cat", 0.1, 10)], [thing("dog", 0.10001, 10)]),  # not shown by default
    ],
)
def test_equal_but_for_the_last_digits(expected: Any, actual: Any) -> None:
    assert difference(expected, actual) is None


@pytest.mark.parametrize(
    ("expected", "actual", "where"),
    [
        ({"score": 0.91}, {"score": 0.92}, "answer.score"),
        ([{"label": "a"}, {"label": "b"}], [{"label": "a"}, {"label": "c"}], "answer[1].label"),
        ([1, 2], [1, 2, 3], "answer"),
        ({"start": 6}, {"start": 7}, "answer.start"),
        ({"a": 1}, {"b": 1}, "answer"),
        (1, True, "answer"),
        (1.0, "1.0", "answer"),
        ("[1.0]", "[1.1]", "answer[0]"),
        (
            {"label": "a", "score": 0.6, "labels": ranked(a=0.6, b=0.4)},
            {"label": "b", "score": 0.6, "labels": ranked(a=0.6, b=0.4)},
            "answer",
        ),
        ("[1.0", "[1.00", "answer"),
        (0.5, float("nan"), "answer"),
        (ranked(joy=0.9, anger=0.1), ranked(anger=0.9, joy=0.1), "answer[0].score"),
        (ranked(joy=0.9, anger=0.1), ranked(anger=0.1, joy=0.9), "answer[0].label"),
        (ranked(joy=0.5, anger=0.5), ranked(joy=0.5, fear=0.5), "answer[1].label"),
        (ranked(joy=0.5, anger=0.5), ranked(joy=0.5, **{"anger": "0.5"}), "answer[1].score"),
        (
            {"labels": ["a", "b"], "scores": [0.9, 0.1]},
            {"labels": ["b", "a"], "scores": [0.9, 0.1]},
            "answer.labels[0].score",
        ),
        ({"labels": ["a"], "scores": [0.9]}, {"labels": ["a"], "scores": []}, "answer"),
        ([thing("cat", 0.9, 10)], [thing("dog", 0.9, 10)], "answer[0].label"),
        ([thing("cat", 0.9, 10)], [thing("cat", 0.9, 13)], "answer[0].box"),
        ([thing("cat", 0.1, 10)], [thing("dog", 0.2, 10)], "answer[0].score"),
        ([thing("cat", 0.9, 10)], [], "answer"),
        ([thing("cat", 0.9, 10)], [{"label": "cat", "score": 0.9, "box": None}], "answer[0].box"),
    ],
)
def test_where_two_answers_differ(expected: Any, actual: Any, where: str) -> None:
    assert (difference(expected, actual) or "").startswith(f"{where}: expected ")


def replied(score: float, cpu: str = "") -> Reply:
    return Reply(200, b'{"score": %f}' % score, "application/json", 0.01, cpu=cpu)


def golden(tolerance: float = 1e-4, cpu: str = "") -> Golden:
    return Golden(Request(b"{}"), {"score": 0.5}, "long.json", tolerance, cpu)


@pytest.mark.parametrize(("tolerance", "off"), [(1e-4, 0.0002), (1e-2, 0.02), (0.2, 0.3)])
def test_the_tolerance_is_the_one_recorded_with_the_model(tolerance: float, off: float) -> None:
    assert mismatch(golden(tolerance), replied(0.5 + 0.8 * tolerance)) is None
    found = str(mismatch(golden(tolerance), replied(0.5 + off)))
    assert f"golden request long.json differs by more than {tolerance:g}. answer.score" in found


@pytest.mark.parametrize(
    ("prepared", "answered", "said"),
    [
        (
            "avx512-vnni",
            "avx2",
            "CPU kind: prepared on avx512-vnni, answered on avx2; int8 answers",
        ),
        ("", "arm64", "CPU kind: prepared on unknown, answered on arm64; int8 answers"),
        ("avx2", "", "CPU kind: prepared on avx2, answered on unknown; int8 answers"),
    ],
)
def test_the_message_says_which_cpus_answered(prepared: str, answered: str, said: str) -> None:
    found = str(mismatch(golden(cpu=prepared), replied(0.6, answered)))
    assert said in found
    assert found.endswith("prepared with --cpu any")


def test_of_equal_cpus_nothing_is_advised() -> None:
    found = str(mismatch(golden(cpu="avx2"), replied(0.6, "avx2")))
    assert found.endswith("\nCPU kind: prepared on avx2, answered on avx2")


def test_a_host_tells_its_cpu_in_a_header() -> None:
    assert cpu_of(httpx.Headers({"x-cpu-kind": "avx512"})) == "avx512"
    assert cpu_of({}) == ""

"""When an answer counts as the golden one."""

from __future__ import annotations

from typing import Any

import pytest

from onnxferry.scripts.golden_check import difference


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"answer": "Rebecca", "score": 0.91234}, {"score": 0.91235, "answer": "Rebecca"}),
        ([[1.0, 2.5]], [[1, 2.5]]),
        (0.0, 0.00009),
        (20000.0, 20001.0),
        (None, None),
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
        (0.5, float("nan"), "answer"),
    ],
)
def test_where_two_answers_differ(expected: Any, actual: Any, where: str) -> None:
    assert (difference(expected, actual) or "").startswith(f"{where}: expected ")

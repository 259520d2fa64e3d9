"""What the table `scaling` refuses, before a cloud is asked, and when a scheduled time is over."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from onnxferry.infra.target_tables import SageMaker
from onnxferry.infra.target_tables.schedules import is_over, wrong_schedule, wrong_timezone

GOOD = (
    "at(2026-12-24T18:00:00)",
    "rate(1 hour)",
    "rate(12 hours)",
    "cron(0 7 ? * MON-FRI *)",
    "cron(0/15 8-18 1,15 * ? 2026-2027)",
)
BAD = {
    "at(tomorrow)": "at(2026-12-24T18:00:00)",
    "rate(1 hours)": "like rate(12 hours)",
    "rate(0 hours)": "like rate(12 hours)",
    "cron(0 7 * * 1-5)": "six fields",
    "cron(0 7 * * MON-FRI *)": "? for either",
}


@pytest.mark.parametrize("at", GOOD)
def test_a_schedule_that_aws_takes_is_right(at: str) -> None:
    assert wrong_schedule(at) == ""


@pytest.mark.parametrize("at", BAD)
def test_a_schedule_that_aws_would_refuse_is_told_with_the_right_form(at: str) -> None:
    assert BAD[at] in wrong_schedule(at)


def test_a_time_is_over_by_the_clock_of_its_time_zone() -> None:
    now = "2026-11-25T12:00:00+00:00"
    assert is_over("at(2026-11-25T12:59:00)", "Europe/Berlin", now)
    assert not is_over("at(2026-11-25T13:01:00)", "Europe/Berlin", now)
    assert not is_over("rate(1 day)", "UTC", now)
    assert not is_over("at(2026-11-25T11:00:00)", "UTC", "")


def test_a_time_zone_that_there_is_not_is_told() -> None:
    assert wrong_timezone("Europe/Berlin") == wrong_timezone("UTC") == ""
    assert "Mars/Olympus" in wrong_timezone("Mars/Olympus")


def morning(**limits: int) -> dict[str, Any]:
    return {"schedule": [{"at": "rate(1 day)", **limits}]}


@pytest.mark.parametrize(
    ("serving", "scaling", "said"),
    [
        ({}, {"min": 3, "max": 2}, "min (3) is more than max (2)"),
        ({}, {"min": 0, "max": 2}, 'scaling.min = 0 needs serving.mode = "async"'),
        ({"instance_count": 5}, {"max": 4}, "instance_count (5) is more than scaling.max (4)"),
        (
            {"variants": {"big": {"instance_count": 6}}},
            {"max": 4},
            "instance_count (6) is more than scaling.max (4)",
        ),
        ({"instance_type": "ml.t3.medium"}, {"max": 4}, "burstable instances (ml.t3.medium)"),
        ({}, {"max": 4, **morning()}, "sets neither min nor max"),
        ({}, {"max": 4, **morning(min=5)}, "min (5) is more than max (4)"),
        ({"mode": "serverless"}, {"max": 4}, "set serving.provisioned_concurrency"),
        (
            {"mode": "serverless", "provisioned_concurrency": 1},
            {"max": 4, "target": 70},
            "at most 1",
        ),
        (
            {"mode": "serverless", "provisioned_concurrency": 1, "max_concurrency": 3},
            {"max": 4},
            "scaling.max is more than serving.max_concurrency",
        ),
    ],
)
def test_what_does_not_go_together_is_refused(
    serving: dict[str, Any], scaling: dict[str, Any], said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        SageMaker.model_validate({"serving": serving, "scaling": scaling})
    assert said in str(caught.value)

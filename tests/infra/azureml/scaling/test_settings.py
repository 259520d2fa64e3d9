"""What a setting says: thresholds, profiles, by what it scales; and the times that Azure has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pydantic
import pytest

from onnxferry.infra.azureml.scaling.settings import Place, setting
from onnxferry.infra.azureml.scaling.target import cores, scaled
from onnxferry.infra.target_tables.azureml import AzureML
from onnxferry.infra.target_tables.weekly import DAYS
from onnxferry.scripts.rehearse.record import RehearsalRecord
from tests.infra.azureml.conftest import config

PLACE = Place("/e", "/e/deployments/d", "d", "westeurope")
WORKDAYS = list(DAYS[1:6])


def settings(**changes: Any) -> AzureML:
    found = config(scaling={"max": 4, **changes}).azureml
    assert found
    return found


def profiles(**changes: Any) -> list[dict[str, Any]]:
    how = scaled(settings(**changes))
    assert how
    return list(setting("name", PLACE, how)["profiles"])


def rules(profile: Mapping[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    """By metric and direction."""
    return {
        (rule["metricTrigger"]["metricName"], rule["scaleAction"]["direction"]): rule
        for rule in profile["rules"]
    }


def rehearsed(cpu_ms: float) -> RehearsalRecord:
    return RehearsalRecord("", "", "", 1.0, 20.0, 30.0, cpu_ms, 300.0, 2, "")


@pytest.mark.parametrize("least", [1, 2, 3, 10])
def test_what_takes_an_instance_away_does_not_add_it_again(least: int) -> None:
    (only,) = profiles(min=least, max=least + 5, target=70, cpu_percent=60)
    found = rules(only)
    for metric in ("CpuUtilizationPercentage", "RequestsPerMinute"):
        above = found[metric, "Increase"]["metricTrigger"]["threshold"]
        below = found[metric, "Decrease"]["metricTrigger"]["threshold"]
        for count in range(least + 1, least + 6):  # that share what the others leave
            assert below * count / (count - 1) < above
    assert len(found) == 4


def test_requests_are_the_deployments_own_for_each_instance() -> None:
    (only,) = profiles(target=70, scale_out_seconds=90, scale_in_seconds=3600)
    found = rules(only)
    trigger = found["RequestsPerMinute", "Increase"]["metricTrigger"]
    assert trigger["metricResourceUri"] == "/e" and trigger["dividePerInstance"] is True
    of = {"DimensionName": "deployment", "Operator": "Equals", "Values": ["d"]}
    assert trigger["dimensions"] == [of] and trigger["threshold"] == 70
    spans = [rule["scaleAction"]["cooldown"] for rule in found.values()]
    assert spans == ["PT1M30S", "PT1H"]


def test_each_time_of_a_schedule_is_a_profile_that_lasts_until_the_next() -> None:
    berlin = {"timezone": "Europe/Berlin"}
    morning = {"at": "cron(30 7,12 ? * MON-FRI *)", **berlin, "min": 3, "max": 9}
    night = {"at": "cron(0 20 * * ? *)", **berlin, "max": 1}
    default, *timed = profiles(cpu_percent=50, schedule=[morning, night])
    assert "recurrence" not in default
    assert default["capacity"] == {"minimum": "1", "maximum": "4", "default": "1"}
    found = [one["recurrence"]["schedule"] for one in timed]
    zone = {"timeZone": "W. Europe Standard Time"}
    assert found == [
        {**zone, "days": WORKDAYS, "hours": [7], "minutes": [30]},
        {**zone, "days": WORKDAYS, "hours": [12], "minutes": [30]},
        {**zone, "days": list(DAYS), "hours": [20], "minutes": [0]},
    ]
    assert {one["recurrence"]["frequency"] for one in timed} == {"Week"}
    first, _, last = timed
    assert first["capacity"] == {"minimum": "3", "maximum": "9", "default": "3"}
    assert last["capacity"]["maximum"] == "1" and not last["rules"]  # there is nothing to choose
    assert len({one["name"] for one in (default, *timed)}) == 4


@pytest.mark.parametrize(
    ("at", "says"),
    [
        ("rate(1 day)", r"weekly times alone, not rate\(...\): write when it begins as cron"),
        ("at(2026-12-24T18:00:00)", r"weekly times alone, not at\("),
        ("cron(0 8 1 * ? *)", "no day of the month, month or year"),
        ("cron(0 8 ? 12 MON *)", "no day of the month, month or year"),
        ("cron(0 8 ? * MON#1 *)", "days of the week are names or ranges of them, not 'MON#1'"),
        ("cron(0/5 8 ? * MON *)", "minutes and hours are numbers"),
        ("cron(0 24 ? * MON *)", "minutes and hours are numbers"),
        ("cron(0,5,10,15,20,25,30,35,40,45 8,9 ? * * *)", "takes 19 times of the day"),
    ],
)
def test_what_azure_cannot_say_is_refused_with_what_to_write(at: str, says: str) -> None:
    with pytest.raises(pydantic.ValidationError, match=says):
        settings(schedule=[{"at": at, "min": 2}])


def test_zones_that_windows_does_not_name_and_two_beginnings_are_refused() -> None:
    with pytest.raises(pydantic.ValidationError, match="no time zone for 'Antarctica/Troll'"):
        settings(schedule=[{"at": "cron(0 8 ? * * *)", "timezone": "Antarctica/Troll", "min": 2}])
    over = {"at": "cron(0 8 ? * FRI-MON *)", "min": 2}
    with pytest.raises(pydantic.ValidationError, match="two entries of schedule begin at 8:00"):
        settings(schedule=[over, {"at": "cron(0 8 ? * SUN *)", "max": 3}])


def test_what_it_scales_by_where_nothing_says_it() -> None:
    assert str(scaled(settings())) == "1 to 4 instances, 70 % CPU"
    found = scaled(settings(), rehearsed(cpu_ms=21.0))
    assert str(found) == "1 to 4 instances, 2,900 requests a minute each"
    assert found and found.requests
    assert found.requests.why == (
        "half of the 5,714 a minute that it can answer; 21 ms of CPU a request in the rehearsal,"
        " 2 CPUs"
    )
    assert str(scaled(settings(cpu_percent=40), rehearsed(21.0))) == "1 to 4 instances, 40 % CPU"
    both = scaled(settings(cpu_percent=40, target=9.5))
    assert str(both) == "1 to 4 instances, 9.5 requests a minute each, 40 % CPU"


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ("Standard_F2s_v2", 2),
        ("Standard_D4as_v5", 4),
        ("Standard_DS3_v2", 4),
        ("Standard_D14", 16),
        ("Standard_E16-4s_v5", None),
    ],
)
def test_the_cpus_of_a_size(size: str, count: int | None) -> None:
    assert cores(size) == count

"""CloudWatch's alarms, kept in moto's backend, so that those of a template are there too; as AWS
does and moto does not: a new alarm has no data yet, an update leaves its state and its tags, a
history outlives its alarm, and deleting what is not there is refused after the rest is deleted."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any

from moto.backends import get_backend

from tests.fakes.aws.answers import Refusal

CROSSED = "Threshold Crossed: 2 out of the last 3 datapoints were greater than the threshold"
_MOST_RECORDS = 100
_STATISTICS = ("Statistic", "ExtendedStatistic", "Metrics")
_MISSING = ("breaching", "notBreaching", "ignore", "missing")
_SETTINGS = (
    "AlarmName",
    "AlarmDescription",
    "ActionsEnabled",
    "OKActions",
    "AlarmActions",
    "InsufficientDataActions",
    "MetricName",
    "Namespace",
    "Statistic",
    "ExtendedStatistic",
    "Dimensions",
    "Period",
    "Unit",
    "EvaluationPeriods",
    "DatapointsToAlarm",
    "Threshold",
    "ComparisonOperator",
    "TreatMissingData",
    "EvaluateLowSampleCountPercentile",
    "Metrics",
)


def _invalid(message: str) -> Refusal:
    return Refusal("ValidationError", message)


class Alarms:
    """The alarms of one account and region. `fire` sets one off, as a metric over its threshold
    does; `most` is the account's quota."""

    def __init__(self, account: str, region: str) -> None:
        self._place = (account, region)
        self.most = 5000
        self._history: list[dict[str, Any]] = []
        self._metrics: dict[str, Any] = {}  # math of metrics, which moto would parse

    def operations(self) -> Mapping[str, Callable[[Mapping[str, Any]], Any]]:
        return {
            "PutMetricAlarm": self.put,
            "DescribeAlarms": self.describe,
            "DescribeAlarmHistory": self.history,
            "DeleteAlarms": self.delete,
            "ListTagsForResource": self.tags_of,
            "TagResource": self.tag,
            "UntagResource": self.untag,
        }

    @property
    def _backend(self) -> Any:
        account, region = self._place
        return get_backend("cloudwatch")[account][region]

    @property
    def names(self) -> list[str]:
        return sorted(self._backend.alarms)

    def said(self, name: str) -> dict[str, Any]:
        """An alarm, as it is described."""
        return self._shown(self._backend.alarms[name])

    def tags(self, name: str) -> dict[str, str]:
        found: dict[str, str] = self._backend.tagger.get_tag_dict_for_resource(self.arn(name))
        return found

    def fire(self, name: str) -> None:
        self.to(name, "ALARM", CROSSED)

    def to(self, name: str, state: str, reason: str) -> None:
        """The alarm changes its state, which its history keeps."""
        alarm = self._backend.alarms[name]
        before = alarm.state_value
        alarm.state_value, alarm.state_reason = state, reason
        states = {"oldState": {"stateValue": before}, "newState": _state(state, reason)}
        said = f"Alarm updated from {before} to {state}"
        self._keep(name, "StateUpdate", said, {"version": "1.0", **states})

    def quiet(self, name: str) -> None:
        """No more data come."""
        if self._backend.alarms[name].treat_missing_data == "notBreaching":
            self.to(name, "OK", "Threshold Crossed: no datapoints were received")

    def state(self, name: str) -> str:
        """ "" where there is no such alarm."""
        found = self._backend.alarms.get(name)
        return found.state_value if found else ""

    def put(self, asked: Mapping[str, Any]) -> Any:
        name = asked["AlarmName"]
        self._check(asked)
        before, tags = self._backend.alarms.get(name), asked.get("Tags", [])
        if before is None and len(self._backend.alarms) >= self.most:
            raise Refusal("LimitExceeded", "The quota for alarms for this customer is reached.")
        made = self._make(asked)
        if before is None:
            made.state_value, made.state_reason = "INSUFFICIENT_DATA", "Unchecked: Initial alarm"
            self._backend.tagger.tag_resource(made.alarm_arn, tags)
        else:
            made.state_value, made.state_reason = before.state_value, before.state_reason
        what = "updated" if before else "created"
        self._keep(name, "ConfigurationUpdate", f'Alarm "{name}" {what}', {})
        return {}

    def _check(self, asked: Mapping[str, Any]) -> None:
        if sum(key in asked for key in _STATISTICS) != 1:
            raise _invalid("Exactly one of Statistic, ExtendedStatistic or Metrics must be given.")
        if "Metrics" not in asked and not {"MetricName", "Namespace", "Period"} <= set(asked):
            raise _invalid("MetricName, Namespace and Period are needed.")
        period = asked.get("Period", 60)
        if period not in (10, 20, 30) and period % 60:
            raise _invalid("Period must be 10, 20, 30 or a multiple of 60")
        if period * asked.get("EvaluationPeriods", 1) > 86400 * (7 if period >= 3600 else 1):
            raise _invalid("Metrics cannot be checked across more than a day")
        if asked.get("DatapointsToAlarm", 1) > asked.get("EvaluationPeriods", 1):
            raise _invalid("DatapointsToAlarm must be less than or equal to EvaluationPeriods")
        if asked.get("TreatMissingData", "missing") not in _MISSING:
            raise _invalid(f"Option {asked['TreatMissingData']} is not supported.")
        if "EvaluateLowSampleCountPercentile" in asked and "ExtendedStatistic" not in asked:
            raise _invalid("EvaluateLowSampleCountPercentile is only for percentiles.")

    def _make(self, asked: Mapping[str, Any]) -> Any:
        if metrics := asked.get("Metrics"):
            self._metrics[asked["AlarmName"]] = metrics
        actions = {
            "ok_actions": asked.get("OKActions", []),
            "insufficient_data_actions": asked.get("InsufficientDataActions", []),
            "actions_enabled": asked.get("ActionsEnabled", True),
        }
        return self._backend.put_metric_alarm(
            name=asked["AlarmName"],
            namespace=asked.get("Namespace"),
            metric_name=asked.get("MetricName"),
            comparison_operator=asked.get("ComparisonOperator"),
            evaluation_periods=asked.get("EvaluationPeriods"),
            period=asked.get("Period"),
            threshold=asked.get("Threshold"),
            statistic=asked.get("Statistic"),
            description=asked.get("AlarmDescription"),
            dimensions=asked.get("Dimensions", []),
            alarm_actions=asked.get("AlarmActions", []),
            datapoints_to_alarm=asked.get("DatapointsToAlarm"),
            extended_statistic=asked.get("ExtendedStatistic"),
            unit=asked.get("Unit"),
            treat_missing_data=asked.get("TreatMissingData"),
            evaluate_low_sample_count_percentile=asked.get("EvaluateLowSampleCountPercentile"),
            **actions,
        )

    def describe(self, asked: Mapping[str, Any]) -> Any:
        if "AlarmNames" in asked and "AlarmNamePrefix" in asked:
            raise _invalid("AlarmNamePrefix and AlarmNames cannot be given together.")
        if len(asked.get("AlarmNames", [])) > _MOST_RECORDS:
            raise _invalid("AlarmNames must be at most 100.")
        kinds, prefix = asked.get("AlarmTypes", ["MetricAlarm"]), asked.get("AlarmNamePrefix", "")
        named = [n for n in self.names if n in asked.get("AlarmNames", [n])]
        shown = [n for n in named if n.startswith(prefix)]
        begin = int(asked.get("NextToken", 0))
        most = begin + asked.get("MaxRecords", 50)
        more = {"NextToken": str(most)} if shown[most:] else {}
        found = [self._backend.alarms[name] for name in shown[begin:most]]
        metric = [self._shown(alarm) for alarm in found if not alarm.rule]
        composite = [self._shown(alarm) for alarm in found if alarm.rule]
        both = {"MetricAlarm": metric, "CompositeAlarm": composite}
        return {f"{kind}s": both.get(kind, []) for kind in kinds} | more

    def _shown(self, alarm: Any) -> dict[str, Any]:
        dimensions = sorted((d.name, d.value) for d in alarm.dimensions)  # in an order of its own
        said = {
            "AlarmName": alarm.name,
            "AlarmArn": alarm.alarm_arn,
            "AlarmDescription": alarm.description,
            "ActionsEnabled": alarm.actions_enabled,
            "OKActions": alarm.ok_actions,
            "AlarmActions": alarm.alarm_actions,
            "InsufficientDataActions": alarm.insufficient_data_actions,
            "StateValue": alarm.state_value,
            "StateReason": alarm.state_reason,
            "MetricName": alarm.metric_name,
            "Namespace": alarm.namespace,
            "Statistic": alarm.statistic,
            "ExtendedStatistic": alarm.extended_statistic,
            "Dimensions": [{"Name": name, "Value": value} for name, value in dimensions],
            "Period": alarm.period,
            "Unit": alarm.unit,
            "EvaluationPeriods": alarm.evaluation_periods,
            "DatapointsToAlarm": alarm.datapoints_to_alarm,
            "Threshold": alarm.threshold,
            "ComparisonOperator": alarm.comparison_operator,
            "TreatMissingData": alarm.treat_missing_data,
            "EvaluateLowSampleCountPercentile": alarm.evaluate_low_sample_count_percentile,
            "Metrics": self._metrics.get(alarm.name),
            "AlarmRule": alarm.rule,
        }
        return {key: value for key, value in said.items() if value is not None}

    def history(self, asked: Mapping[str, Any]) -> Any:
        items = [i for i in self._history if i["AlarmName"] == asked.get("AlarmName")]
        kind, since = asked.get("HistoryItemType"), asked.get("StartDate", 0)
        items = [i for i in items if kind in (None, i["HistoryItemType"])]
        items = [i for i in items if i["Timestamp"] >= since]
        if asked.get("ScanBy", "TimestampDescending") == "TimestampDescending":
            items.reverse()
        return {"AlarmHistoryItems": items[: asked.get("MaxRecords", _MOST_RECORDS)]}

    def delete(self, asked: Mapping[str, Any]) -> Any:
        absent = [name for name in asked["AlarmNames"] if name not in self._backend.alarms]
        for name in asked["AlarmNames"]:
            self._backend.tagger.delete_all_tags_for_resource(self.arn(name))
        self._backend.delete_alarms(asked["AlarmNames"])
        if absent:
            raise Refusal("ResourceNotFound", f"Unknown alarm(s): {', '.join(absent)}", 404)
        return {}

    def tags_of(self, asked: Mapping[str, Any]) -> Any:
        found = self.tags(self._there(asked["ResourceARN"]))
        return {"Tags": [{"Key": key, "Value": value} for key, value in found.items()]}

    def tag(self, asked: Mapping[str, Any]) -> Any:
        arn = self.arn(self._there(asked["ResourceARN"]))
        self._backend.tagger.tag_resource(arn, asked["Tags"])
        return {}

    def untag(self, asked: Mapping[str, Any]) -> Any:
        arn = self.arn(self._there(asked["ResourceARN"]))
        self._backend.tagger.untag_resource_using_names(arn, asked["TagKeys"])
        return {}

    def _there(self, arn: str) -> str:
        name = arn.partition(":alarm:")[2]
        if name not in self._backend.alarms:
            raise Refusal("ResourceNotFoundException", f"Unknown alarm: {name}", 404)
        return name

    def arn(self, name: str) -> str:
        backend = self._backend
        return f"arn:aws:cloudwatch:{backend.region_name}:{backend.account_id}:alarm:{name}"

    def _keep(self, name: str, kind: str, summary: str, data: Any) -> None:
        self._history.append(
            {
                "AlarmName": name,
                "AlarmType": "MetricAlarm",
                "Timestamp": time.time(),
                "HistoryItemType": kind,
                "HistorySummary": summary,
                "HistoryData": json.dumps(data),
            }
        )


def _state(value: str, reason: str) -> dict[str, str]:
    return {"stateValue": value, "stateReason": reason}

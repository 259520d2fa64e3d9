"""CloudWatch alarms that watch a configuration while it takes over, and afterwards: SageMaker rolls
an update back when one fires. Each is of one production variant of one configuration, by the
dimension EndpointConfigName, so that what the version before it does cannot set it off.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import NotFound
from onnxferry.infra.plan import Action, Step
from onnxferry.infra.sagemaker.names import ENDPOINT_TAG, Names, values_of

P95_TAG = "onnxferry:p95-ms"  # of the rehearsal that a latency alarm's threshold is made of
MOST = 10  # alarms that an update may name
ERROR_RATE = 0.05
PERIOD_SECONDS = 60  # SageMaker's metrics come once a minute
_OF, _BREACHING = 3, 2  # fires when so many of the last periods are over the threshold
FIRES_SECONDS = _BREACHING * PERIOD_SECONDS
_NAME = re.compile(r"onnxferry-(?P<config>.+?)-(?:errors|latency)-[A-Za-z0-9-]+")
_KEPT = ("ActionsEnabled", "AlarmActions", "OKActions", "InsufficientDataActions")
_TYPES = {"AlarmTypes": ["MetricAlarm", "CompositeAlarm"]}


@dataclass(frozen=True)
class AlarmState:
    """An alarm as CloudWatch describes it: `said` are its settings, as PutMetricAlarm takes them;
    `state` is OK, ALARM or INSUFFICIENT_DATA, and `reason` why."""

    name: str
    arn: str
    state: str
    reason: str = ""
    said: Mapping[str, Any] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)

    def differs(self, request: Mapping[str, Any]) -> bool:
        """Whether it is set otherwise than `request` says."""
        keys = set(request) - {"Tags"}
        return any(_plain(self.said.get(key)) != _plain(request[key]) for key in keys)


def _plain(value: Any) -> Any:
    """CloudWatch keeps dimensions in an order of its own."""
    return sorted((d["Name"], d["Value"]) for d in value) if isinstance(value, list) else value


def config_of(names: Names, alarm: str) -> str:
    """The configuration that an alarm of ours watches, by its name; "" for another alarm."""
    found = _NAME.fullmatch(alarm)
    return found["config"] if found and names.version_of(found["config"]) else ""


@dataclass(frozen=True)
class Watched:
    """What alarms are to watch: the production `variants` (as CreateEndpointConfig has them) of
    `config`; `p95_ms` is what the package's rehearsal measured, None where there was none."""

    config: str
    variants: Sequence[Mapping[str, Any]]
    p95_ms: float | None = None


def requests(
    names: Names, watched: Watched, there: Mapping[str, AlarmState]
) -> list[dict[str, Any]]:
    """PutMetricAlarm for each variant: errors, and latency where the rehearsal's p95 is known. An
    alarm that is `there` keeps the p95 it was made by: a rehearsal measures another one each time.
    None where they are not wanted, or for a serverless variant, whose updates SageMaker does not
    roll back by alarms."""
    found = []
    variants = watched.variants if names.settings.rollout.alarms else ()
    for variant in (one for one in variants if "ServerlessConfig" not in one):
        place = (watched.config, variant["VariantName"])
        found.append(_errors(names, *place))
        known = there.get(_name(*place, "latency"))
        if p95 := float(known.tags.get(P95_TAG, 0)) if known else watched.p95_ms:
            found.append(_latency(names, *place, p95))
    return found


def _errors(names: Names, config: str, variant: str) -> dict[str, Any]:
    what = {"MetricName": "Invocation5XXErrors", "Statistic": "Average", "Threshold": ERROR_RATE}
    said = f"more than {ERROR_RATE:.0%} of the requests end with an error of the model (5xx)"
    return {**_watch(names, config, variant, "errors"), **what, "AlarmDescription": said}


def _latency(names: Names, config: str, variant: str, p95_ms: float) -> dict[str, Any]:
    """ModelLatency is in microseconds."""
    factor = names.settings.rollout.latency_factor
    threshold = float(round(p95_ms * factor * 1000))
    what = {"MetricName": "ModelLatency", "ExtendedStatistic": "p95", "Threshold": threshold}
    said = f"p95 is over {p95_ms * factor:g} ms: {factor:g} times the rehearsal's {p95_ms:g} ms"
    low = {"EvaluateLowSampleCountPercentile": "evaluate"}  # else few requests never fire it
    base = _watch(names, config, variant, "latency")
    tagged = [*base.pop("Tags"), {"Key": P95_TAG, "Value": f"{p95_ms:g}"}]
    return {**base, **what, **low, "AlarmDescription": said, "Tags": tagged}


def _watch(names: Names, config: str, variant: str, kind: str) -> dict[str, Any]:
    """What both have. No data is no alarm: nobody may be asking."""
    of = {"EndpointName": names.endpoint, "VariantName": variant, "EndpointConfigName": config}
    return {
        "AlarmName": _name(config, variant, kind),
        "Namespace": "AWS/SageMaker",
        "Dimensions": [{"Name": key, "Value": value} for key, value in of.items()],
        "Period": PERIOD_SECONDS,
        "EvaluationPeriods": _OF,
        "DatapointsToAlarm": _BREACHING,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "Tags": names.tags(names.version_of(config)),
    }


def _name(config: str, variant: str, kind: str) -> str:
    return f"onnxferry-{config}-{kind}-{variant}"


def read(clients: AwsClients, names: Names) -> dict[str, AlarmState]:
    """The alarms that are ours, by name; none where they may not be looked for."""
    prefix, where = f"onnxferry-{names.endpoint}-", f"alarms of endpoint {names.endpoint}"
    found = clients.if_allowed(
        lambda: _described(clients, where, AlarmNamePrefix=prefix), "alarms are not looked for"
    )
    of_name = (alarm for alarm in found or () if config_of(names, alarm.name))
    tagged = (with_tags(clients, alarm) for alarm in of_name)
    return {alarm.name: alarm for alarm in tagged if _marked(alarm, names)}


def own(clients: AwsClients, names: Names, name: str) -> tuple[bool, bool]:
    """Whether there is an alarm of that name, and whether it is ours."""
    found = named(clients, [name])
    marked = [_marked(with_tags(clients, alarm), names) for alarm in found.values()]
    return bool(found), bool(found) and all(marked) and bool(config_of(names, name))


def named(clients: AwsClients, wanted: Collection[str]) -> dict[str, AlarmState]:
    """Those of the `wanted` alarms that there are, whosever they are, without their tags."""
    where = f"alarms {', '.join(wanted)}"
    found = _described(clients, where, AlarmNames=list(wanted), **_TYPES) if wanted else []
    return {alarm.name: alarm for alarm in found}


def with_tags(clients: AwsClients, alarm: AlarmState) -> AlarmState:
    """The alarm with its tags; none where it is gone."""
    listed = ("cloudwatch", "list_tags_for_resource", f"alarm {alarm.name}")
    found = clients.call_if_there(*listed, ResourceARN=alarm.arn) or {"Tags": []}
    given = (alarm.name, alarm.arn, alarm.state, alarm.reason, alarm.said)
    return AlarmState(*given, values_of(found["Tags"]))


def _marked(alarm: AlarmState, names: Names) -> bool:
    return alarm.tags.get(ENDPOINT_TAG) == names.made


def _described(clients: AwsClients, where: str, **asked: Any) -> list[AlarmState]:
    kinds = "MetricAlarms CompositeAlarms"
    found = clients.pages("cloudwatch", "describe_alarms", kinds, where, **asked)
    return [
        AlarmState(a["AlarmName"], a["AlarmArn"], a["StateValue"], a.get("StateReason", ""), a)
        for a in found
    ]


def made(there: Mapping[str, AlarmState], wanted: Collection[Mapping[str, Any]]) -> Iterator[Step]:
    """A step for each alarm that is `wanted`: made, set anew, or used as it is."""
    for request in wanted:
        name = request["AlarmName"]
        found = there.get(name)
        if found is None:
            step = Step(Action.CREATE, "alarm", name, "put_alarm", request, removal=deleted(name))
        elif found.differs(request):
            kept = {key: found.said[key] for key in _KEPT if key in found.said}
            step = Step(Action.UPDATE, "alarm", name, "put_alarm", {**request, **kept})
        else:
            step = Step(Action.REUSE, "alarm", name)
        yield step


def unused(names: Names, there: Collection[str], configs: Collection[str]) -> list[str]:
    """Those of the alarms `there` that watch none of `configs`."""
    return sorted(name for name in there if config_of(names, name) not in configs)


def deleted(name: str) -> Step:
    """A step that deletes an alarm."""
    return Step(Action.DELETE, "alarm", name, "delete_alarm", {"AlarmNames": [name]})


def listed(clients: AwsClients) -> Iterator[tuple[str, Mapping[str, str], str]]:
    """(name, tags, state) of all alarms that onnxferry made, whichever endpoint they are of."""
    for alarm in _described(clients, "alarms", AlarmNamePrefix="onnxferry-"):
        tags = with_tags(clients, alarm).tags
        if ENDPOINT_TAG in tags:
            yield alarm.name, tags, alarm.state


def missing(clients: AwsClients, wanted: Collection[str]) -> None:
    """Raise NotFound where one of the `wanted` alarms, which others made, is not there."""
    found = named(clients, wanted)
    if lacking := [name for name in wanted if name not in found]:
        raise NotFound(
            f"AWS {clients.region}: sagemaker.rollout.other_alarms names {', '.join(lacking)}, and"
            " there is no such CloudWatch alarm; make it, or leave it out"
        )


def firing(clients: AwsClients, wanted: Collection[str]) -> str:
    """Which of the `wanted` alarms are in ALARM now, with their reasons; "" where none is."""
    found = named(clients, wanted).values()
    return "; ".join(f"{a.name} ({a.reason})" for a in found if a.state == "ALARM")

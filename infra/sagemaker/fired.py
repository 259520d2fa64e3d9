"""Which alarm made SageMaker roll an update back, by CloudWatch's history: an alarm of the new
configuration is soon OK again, since nobody asks that any more."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import CloudError, NotAllowed
from onnxferry.infra.sagemaker import alarms
from onnxferry.system.exits import program

_NEXT = (
    "Look at the log, and at what was asked meanwhile; where the limit of an alarm of onnxferry's"
    " is too low, raise sagemaker.rollout.latency_factor"
)


def fired(clients: AwsClients, watched: Collection[str], since: Any) -> str:
    """Which of the alarms `watched` went to ALARM after `since` (a time, as AWS takes it), with
    CloudWatch's reasons, and what next; "" where none did. Never raises CloudError: it is part of
    another error's message."""
    try:
        found = dict(_history(clients, watched, since)) or _now(clients, watched)
    except NotAllowed as e:
        return f"Which alarm fired is not known: {e.permission} is missing."
    except CloudError as e:
        return f"Which alarm fired is not known: {e}"
    said = "; ".join(f"alarm {name} fired: {reason}" for name, reason in found.items())
    gone = f"{program('delete')} --unproved takes the new version away"
    return f"It was rolled back, since {said.rstrip('.')}. {_NEXT}; {gone}." if said else ""


def _history(
    clients: AwsClients, watched: Collection[str], since: Any
) -> Iterator[tuple[str, str]]:
    """Each alarm that went to ALARM, with the reason of the last time."""
    asked = {"HistoryItemType": "StateUpdate", "StartDate": since, "ScanBy": "TimestampAscending"}
    for name in watched:
        listed = ("cloudwatch", "describe_alarm_history", "AlarmHistoryItems", f"alarm {name}")
        for item in clients.pages(*listed, AlarmName=name, **asked):
            state = json.loads(item.get("HistoryData", "{}")).get("newState", {})
            if state.get("stateValue") == "ALARM":
                yield name, state.get("stateReason", item.get("HistorySummary", ""))


def _now(clients: AwsClients, watched: Collection[str]) -> dict[str, str]:
    found = alarms.named(clients, watched).values()
    return {alarm.name: alarm.reason for alarm in found if alarm.state == "ALARM"}

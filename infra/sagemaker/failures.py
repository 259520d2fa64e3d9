"""Why an endpoint did not come up: SageMaker's own reason and the end of the container's log, as
one of our errors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import (
    BuildFailed,
    CloudError,
    NotAllowed,
    NotFound,
    NotHealthy,
    PublishFailed,
    QuotaExceeded,
)
from onnxferry.infra.sagemaker.names import log_group
from onnxferry.infra.sagemaker.state import Endpoint
from onnxferry.system.exits import program

_REASONS: Mapping[str, type[CloudError]] = {
    r"insufficient\s?capacity|unable to provision": QuotaExceeded,
    r"failed to (download|extract) model data|model data": PublishFailed,
    r"image.*(not exist|not found|failed to pull|no.*access)|ecr:": NotFound,
    r"not authorized|access ?denied|permission": NotAllowed,
}
_INSTALLATION = re.compile(
    r"No matching distribution|Could not find a version|ResolutionImpossible|pip install"
)
_NEXT: Mapping[type[CloudError], str] = {
    QuotaExceeded: "AWS has no such instances free now: run again later, or set another"
    " sagemaker.instance_type or region",
    PublishFailed: "run the same command again, the package is checked and uploaded anew; a given"
    " role needs s3:GetObject on it",
    NotFound: "set sagemaker.image to an image that the role may pull in this region, or leave it"
    " out",
    NotAllowed: "give the execution role what the message names",
    BuildFailed: "the container could not install code/requirements.txt: it needs the way to a"
    " package registry, and every pinned version there",
    NotHealthy: "the log says why; rehearse the package",
}


def failure(clients: AwsClients, found: Endpoint, what: str) -> CloudError:
    """The error for an endpoint that is not what it should be; `what` says so."""
    log = tail(clients, found.name)
    kind, reason = _kind(found.reason, log), found.reason or "SageMaker gives no reason"
    where = f"AWS {clients.region}, endpoint {found.name}"
    left = f"What is left is listed by {program('status')}; a new deploy takes it up,"
    error = kind(
        f"{where}: {what}: {reason}. What next: {_NEXT[kind]}. {left} {program('delete')} removes"
        " it"
    )
    return error.with_log(log)


def _kind(reason: str, log: str) -> type[CloudError]:
    for pattern, kind in _REASONS.items():
        if re.search(pattern, reason, re.IGNORECASE | re.DOTALL):
            return kind
    return BuildFailed if _INSTALLATION.search(log) else NotHealthy


def tail(clients: AwsClients, name: str, lines: int = 30) -> str:
    """The last lines that the containers of an endpoint printed; in words, why there are none."""
    group = log_group(name)
    newest = {"logGroupName": group, "orderBy": "LastEventTime", "descending": True, "limit": 5}
    try:
        found = clients.call("logs", "describe_log_streams", f"log group {group}", newest)
        streams = [stream["logStreamName"] for stream in found["logStreams"]]
        events = [event for stream in streams for event in _events(clients, group, stream, lines)]
    except NotFound:
        return f"(no log group {group}: no container has printed anything)"
    except CloudError as e:
        return f"(the log cannot be read: {e})"
    events.sort(key=lambda event: event[0])
    return "\n".join(message.rstrip() for _, message in events[-lines:])


def _events(clients: AwsClients, group: str, stream: str, lines: int) -> list[tuple[int, str]]:
    """(time, message) of the last events of one container."""
    request = {
        "logGroupName": group,
        "logStreamName": stream,
        "limit": min(lines, 10_000),
        "startFromHead": False,
    }
    found = clients.call("logs", "get_log_events", f"log stream {group} {stream}", request)
    return [(event["timestamp"], event["message"]) for event in found["events"]]

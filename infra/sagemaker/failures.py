"""Why an endpoint did not come up: SageMaker's reason and the container's log, as an error."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

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
    r"model data": PublishFailed,
    r"image.*(not exist|not found|failed to pull|no.*access)|ecr:": NotFound,
    r"not authorized|access ?denied|permission": NotAllowed,
}
_INSTALLATION = re.compile(
    r"No matching distribution|Could not find a version|ResolutionImpossible|pip install"
)
_NEXT: Mapping[type[CloudError], str] = {
    QuotaExceeded: "run again later, or set another sagemaker.serving.instance_type or region",
    PublishFailed: "run the same command again, the package is uploaded anew; a given role needs"
    " s3:GetObject on it",
    NotFound: "set sagemaker.image to one that the role may pull in this region, or leave it out",
    NotAllowed: "give the execution role what the message names",
    BuildFailed: "the container could not install code/requirements.txt: it needs the way to a"
    " package registry that has every pinned version",
    NotHealthy: "the log says why; rehearse the package",
}


def failure(clients: AwsClients, found: Endpoint, what: str) -> CloudError:
    """The error for an endpoint of which `what` is wrong."""
    log, reason = tail(clients, found.name), found.reason or "SageMaker gives no reason"
    kind = _kind(found.reason, log)
    error = kind(
        f"AWS {clients.region}, endpoint {found.name}: {what}: {reason}. What next: {_NEXT[kind]}."
        f" What is there is listed by {program('status')}"
    )
    return error.with_log(log)


def _kind(reason: str, log: str) -> type[CloudError]:
    for pattern, kind in _REASONS.items():
        if re.search(pattern, reason, re.IGNORECASE | re.DOTALL):
            return kind
    return BuildFailed if _INSTALLATION.search(log) else NotHealthy


def tail(clients: AwsClients, name: str, lines: int = 30) -> str:
    """The last lines of an endpoint's log, or why there are none."""
    group = log_group(name)
    try:
        events = sorted(_events(clients, group, lines), key=lambda event: event[0])
    except NotFound:
        return f"(no log group {group}: no container has printed anything)"
    except CloudError as e:
        return f"(the log cannot be read: {e})"
    return "\n".join(message.rstrip() for _, message in events[-lines:])


def _events(clients: AwsClients, group: str, lines: int) -> Iterator[tuple[int, str]]:
    """(time, message) of the last events of the five containers that wrote last."""
    of_group = {"logGroupName": group}
    newest = {"orderBy": "LastEventTime", "descending": True, "limit": 5, **of_group}
    last = {"limit": min(lines, 10_000), "startFromHead": False, **of_group}
    streams = clients.call("logs", "describe_log_streams", f"log group {group}", **newest)
    for stream in (found["logStreamName"] for found in streams["logStreams"]):
        where = f"log stream {group} {stream}"
        found = clients.call("logs", "get_log_events", where, logStreamName=stream, **last)
        yield from ((event["timestamp"], event["message"]) for event in found["events"])

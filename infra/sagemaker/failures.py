"""Why an endpoint did not come up: SageMaker's own reason and the end of the container's log, as
one of our errors."""

from __future__ import annotations

import re

from onnxferry.infra.errors import (
    BuildFailed,
    CloudError,
    NotAllowed,
    NotFound,
    NotHealthy,
    PublishFailed,
    QuotaExceeded,
    with_log,
)
from onnxferry.infra.sagemaker.scope import Scope
from onnxferry.infra.sagemaker.state import Endpoint

_REASONS: tuple[tuple[str, type[CloudError], str], ...] = (
    (
        r"insufficient\s?capacity|unable to provision",
        QuotaExceeded,
        (
            "AWS has no such instances free now: run again later, or set another"
            " sagemaker.instance_type or region"
        ),
    ),
    (
        r"failed to (download|extract) model data|model data",
        PublishFailed,
        (
            "run the same command again, the package is checked and uploaded anew; a given role"
            " needs s3:GetObject on it"
        ),
    ),
    (
        r"image.*(not exist|not found|failed to pull|no.*access)|ecr:",
        NotFound,
        "set sagemaker.image to an image that the role may pull in this region, or leave it out",
    ),
    (
        r"not authorized|access ?denied|permission",
        NotAllowed,
        "give the execution role what the message names",
    ),
)
_INSTALLATION = re.compile(
    r"No matching distribution|Could not find a version|ResolutionImpossible|pip install"
)


def failure(scope: Scope, found: Endpoint, what: str) -> CloudError:
    """The error for an endpoint that is not what it should be; `what` says so."""
    log = tail(scope, found.name)
    kind, following = _kind(found.reason, log)
    reason = found.reason or "SageMaker gives no reason"
    message = (
        f"AWS {scope.aws.region}, endpoint {found.name}: {what}: {reason}. What next: {following}."
        " What is left is listed by deploy.py status; a new deploy takes it up, deploy.py delete"
        " removes it"
    )
    return kind(with_log(message, log))


def _kind(reason: str, log: str) -> tuple[type[CloudError], str]:
    for pattern, kind, following in _REASONS:
        if re.search(pattern, reason, re.IGNORECASE | re.DOTALL):
            return kind, following
    if _INSTALLATION.search(log):
        return (
            BuildFailed,
            (
                "the container could not install code/requirements.txt: it needs the way to a"
                " package registry, and every pinned version there"
            ),
        )
    return (
        NotHealthy,
        "the log says why; rehearse the package: deploy.py rehearse --target sagemaker",
    )


def tail(scope: Scope, name: str, lines: int = 30) -> str:
    """The last lines that the containers of an endpoint printed; in words, why there are none."""
    group = scope.names.logs(name)
    newest = {"logGroupName": group, "orderBy": "LastEventTime", "descending": True, "limit": 5}
    try:
        streams = scope.aws.call("logs", "describe_log_streams", f"log group {group}", newest)[
            "logStreams"
        ]
        events = [
            event
            for stream in streams
            for event in _events(scope, group, stream["logStreamName"], lines)
        ]
    except NotFound:
        return f"(no log group {group}: no container has printed anything)"
    except CloudError as e:
        return f"(the log cannot be read: {e})"
    events.sort(key=lambda event: event[0])
    return "\n".join(message.rstrip() for _, message in events[-lines:])


def _events(scope: Scope, group: str, stream: str, lines: int) -> list[tuple[int, str]]:
    request = {
        "logGroupName": group,
        "logStreamName": stream,
        "limit": min(lines, 10_000),
        "startFromHead": False,
    }
    found = scope.aws.call("logs", "get_log_events", f"log stream {group} {stream}", request)[
        "events"
    ]
    return [(event["timestamp"], event["message"]) for event in found]

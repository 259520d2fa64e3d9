"""Why an endpoint did not come up: SageMaker's reason and the container's log, as an error."""

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
from onnxferry.infra.sagemaker.container_logs import tail
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


def failure(clients: AwsClients, found: Endpoint, what: str, why: str = "") -> CloudError:
    """The error for an endpoint of which `what` is wrong; `why` is what else is known of it, and
    what next."""
    log, reason = tail(clients, found.name), found.reason or "SageMaker gives no reason"
    kind = _kind(found.reason, log)
    following = why or f"What next: {_NEXT[kind]}."
    error = kind(
        f"AWS {clients.region}, endpoint {found.name}: {what}: {reason.rstrip('.')}. {following}"
        f" What is there is listed by {program('status')}"
    )
    return error.with_log(log)


def _kind(reason: str, log: str) -> type[CloudError]:
    for pattern, kind in _REASONS.items():
        if re.search(pattern, reason, re.IGNORECASE | re.DOTALL):
            return kind
    return BuildFailed if _INSTALLATION.search(log) else NotHealthy

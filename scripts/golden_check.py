"""Replies of hosts, compared with the golden answers as scoring.golden does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from onnxferry.scoring import golden as golden_answers
from onnxferry.scoring.manifest import Golden
from onnxferry.scoring.wire import CPU_HEADER


@dataclass(frozen=True)
class Reply:
    """What came back for one request: `body` without content encoding, `seconds` that the client
    waited, `served_by` the version, deployment or variant and `cpu` the kind of the host's CPU, as
    far as the platform tells."""

    status: int
    body: bytes
    content_type: str
    seconds: float
    served_by: str = ""
    cpu: str = ""


def cpu_of(headers: Mapping[str, str]) -> str:
    """The kind of CPU that answered, by an answer's headers; "" where they do not tell."""
    return headers.get(CPU_HEADER, "")


def mismatch(golden: Golden, reply: Reply) -> str | None:
    """How the reply to one golden request differs from its answer; None if it does not."""
    return golden_answers.mismatch(golden, reply.status, reply.body, reply.cpu)

"""What Batch Transform takes, and how it cuts files into requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from tests.fakes.aws.answers import validation
from tests.fakes.aws.calls import model

_MIB = 1 << 20
_MOST = 100  # MB of all requests at a time to an instance


class BadRecord(Exception):
    """A file that a container could not answer."""

    def __init__(self, said: str, *, ours: bool) -> None:
        super().__init__(said)
        self.ours = ours


class Denied(Exception):
    """The role lacks a right, or an object is not there."""


def check(asked: Mapping[str, Any]) -> None:
    """Refuse what no job can be."""
    payload, count = asked.get("MaxPayloadInMB", 6), asked.get("MaxConcurrentTransforms", 1)
    if payload > _MOST or payload * max(count, 1) > _MOST:
        raise validation(
            "The value of (MaxConcurrentTransforms * MaxPayloadInMB) must not exceed 100 MB."
        )
    split = asked["TransformInput"].get("SplitType", "None")
    if asked.get("BatchStrategy") and split == "None":
        raise validation("BatchStrategy needs SplitType Line, RecordIO or TFRecord.")
    kind = asked["TransformResources"]["InstanceType"]
    known = model("sagemaker").shape_for("TransformInstanceType").enum
    if kind not in known:
        raise validation(
            f"1 validation error detected: Value '{kind}' at 'transformResources.instanceType'"
            " failed to satisfy constraint: Member must satisfy enum value set"
        )
    if len(asked.get("Environment", {})) > 16:
        raise validation("Environment has at most 16 entries.")


def records(asked: Mapping[str, Any], data: bytes) -> Iterator[bytes]:
    """The bodies of requests: whole files, lines, or as many lines as a payload holds."""
    most = asked.get("MaxPayloadInMB", 6) * _MIB
    if asked["TransformInput"].get("SplitType", "None") == "None":
        found = [data]
    else:
        found = [line + b"\n" for line in data.removesuffix(b"\n").split(b"\n")]
    if any(len(record) > most for record in found):
        raise BadRecord("Too much data for max payload size", ours=False)
    held = b""
    for record in found:
        if held and (asked.get("BatchStrategy") != "MultiRecord" or len(held + record) > most):
            yield held
            held = b""
        held += record
    yield held

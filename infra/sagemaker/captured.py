"""Captured data, read: JSON Lines files below DESTINATION/ENDPOINT/VARIANT/YYYY/MM/DD/HH/, a record
a request, which has

{"captureData": {"endpointInput": {"observedContentType", "mode", "data", "encoding"},
                 "endpointOutput": {...}},
 "eventMetadata": {"eventId", "inferenceId" (where the caller gave one), "inferenceTime"}}

https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-data-capture-endpoint.html
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import CloudError
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.sagemaker.storage import split
from onnxferry.infra.shadow_traffic import CapturedAnswer
from onnxferry.scoring.wire import JSON

_SHOWN = 2000  # characters of a request that are kept, to be shown


@dataclass(frozen=True)
class CapturedData:
    """What was captured at `destination` (s3://BUCKET/PREFIX) since a time."""

    clients: AwsClients
    names: Names
    destination: str
    since: datetime

    def newest(self, variant: str, most: int) -> tuple[CapturedAnswer, ...]:
        """The last answers of a variant, at most so many. Raises CloudError."""
        found: list[CapturedAnswer] = []
        for key in reversed(self._keys(variant)):
            records = [one for one in self._read(key) if one.time >= self._from]
            found = [*records, *found]
            if len(found) >= most:
                break
        return tuple(sorted(found, key=lambda one: one.time)[-most:])

    def wanted(self, variant: str, wants: Callable[[CapturedAnswer], bool]) -> Iterator[Any]:
        """Those answers of a variant that somebody `wants`. Raises CloudError."""
        for key in self._keys(variant):
            yield from (one for one in self._read(key) if one.time >= self._from and wants(one))

    @property
    def _from(self) -> str:
        return self.since.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _keys(self, variant: str) -> list[str]:
        """The files of the variant, oldest first: their folders are named by the hour."""
        bucket, prefix = split(self.destination)
        folder = "/".join(filter(None, (prefix, self.names.endpoint, variant))) + "/"
        hour = self.since.astimezone(timezone.utc).strftime("%Y/%m/%d/%H/")
        asked = {**self.names.at(bucket), "Prefix": folder, "StartAfter": folder + hour}
        where = f"captured data in s3://{bucket}/{folder}"
        found = self.clients.pages("s3", "list_objects_v2", "Contents", where, **asked)
        return sorted(item["Key"] for item in found if item["Key"].endswith(".jsonl"))

    def _read(self, key: str) -> Iterator[CapturedAnswer]:
        bucket, _ = split(self.destination)
        where = f"s3://{bucket}/{key}"
        body = self.clients.read_object(where, **self.names.at(bucket), Key=key)["Body"]
        for number, line in enumerate(body.splitlines(), 1):
            if line.strip():
                yield _parsed(line, f"AWS {self.names.region}, {where}, line {number}")


def _parsed(line: bytes, where: str) -> CapturedAnswer:
    try:
        return record(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        expected = "captureData and eventMetadata, as SageMaker's data capture writes them"
        raise CloudError(
            f"{where}: no captured request ({type(e).__name__}); it should have {expected}. Is"
            " sagemaker.capture.output another tool's folder, too?"
        ) from e


def record(data: Mapping[str, Any]) -> CapturedAnswer:
    """One record. Raises KeyError, ValueError, TypeError or AttributeError where it is none."""
    captured, event = data["captureData"], data["eventMetadata"]
    sent, answered = captured.get("endpointInput"), captured.get("endpointOutput")
    request = _bytes(sent) if sent else b""
    return CapturedAnswer(
        time=str(event["inferenceTime"]),
        ids=(str(event.get("inferenceId", "")), str(event["eventId"])),
        request=hashlib.sha256(request).hexdigest() if sent else "",
        items=_items(request, sent["observedContentType"]) if sent else None,
        shown=request[:_SHOWN].decode("utf-8", errors="replace"),
        body=_bytes(answered) if answered else None,
        content_type=answered.get("observedContentType", JSON) if answered else JSON,
    )


def _bytes(part: Mapping[str, str]) -> bytes:
    """What was sent or answered: text, or base64."""
    if part["encoding"].upper() == "BASE64":
        return base64.b64decode(part["data"], validate=True)
    return part["data"].encode()


def _items(request: bytes, content_type: str) -> int | None:
    """How many inputs a request has; None for one that is no list, or not JSON."""
    try:
        data = json.loads(request) if content_type.startswith(JSON) else None
    except ValueError:
        return None
    inputs = data.get("inputs") if isinstance(data, dict) else None
    return len(inputs) if isinstance(inputs, list) else None

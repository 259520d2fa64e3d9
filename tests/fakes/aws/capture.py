"""Data capture and shadow variants of SageMaker's endpoints: a shadow gets a copy of its part of
the requests, and what is captured comes to S3 some minutes later, as the execution role."""

from __future__ import annotations

import base64
import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timezone
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

from tests.fakes.aws.endpoints import Endpoint
from tests.fakes.aws.invocations import Invocation

if TYPE_CHECKING:
    from tests.fakes.aws.server import AwsServer

_INFERENCE_ID = "x-amzn-sagemaker-inference-id"


class DataCapture:
    """Of the endpoints of `aws`. `waiting` are the records that have not come to S3 yet, by
    s3://BUCKET/FOLDER; `lost` those that the role was not allowed to put there. `one_event`:
    whether a copy has the event id of the request that it is a copy of, which AWS does not say."""

    def __init__(self, aws: AwsServer) -> None:
        self.waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.lost: list[str] = []
        self.one_event = False
        self._aws = aws
        self._shares: dict[tuple[str, str], float] = defaultdict(float)
        aws.invocations.seen.append(self._seen)

    def deliver(self) -> None:
        """Some minutes pass."""
        for folder, records in self.waiting.items():
            bucket, _, key = folder.removeprefix("s3://").partition("/")
            lines = "".join(json.dumps(record) + "\n" for record in records).encode()
            self._aws.s3.put_object(bucket, f"{key}{uuid.uuid4()}.jsonl", lines)
        self.waiting.clear()

    def _seen(self, told: Invocation) -> None:
        found, fleet = told.endpoint, told.endpoint.fleets[told.variant]
        for name, other in found.fleets.items():
            if other.shadow and not fleet.shadow and self._turn(name, other.weight / fleet.weight):
                event = told.id if self.one_event else str(uuid.uuid4())
                self._aws.invocations.invoke(found, name, told.request, event)
        self._capture(told)

    def _turn(self, what: str, part: float) -> bool:
        """Whether one of every 1 / part comes now."""
        self._shares[what, ""] += part
        due = self._shares[what, ""] >= 1 - 1e-9
        self._shares[what, ""] -= due
        return due

    def _capture(self, told: Invocation) -> None:
        config = self._aws.sagemaker.endpoint_configs[told.endpoint.config]
        asked = config.data_capture_config
        if not asked or not asked.get("EnableCapture", True):
            return
        part = asked["InitialSamplingPercentage"] / 100
        if not self._turn(f"{told.endpoint.name} {told.variant}", part):
            return
        now = datetime.fromtimestamp(self._aws.faults.now(), timezone.utc)
        place = f"{told.endpoint.name}/{told.variant}/{now:%Y/%m/%d/%H}/"
        folder = f"{asked['DestinationS3Uri'].rstrip('/')}/{place}"
        if self._may_put(told.endpoint, told.variant, folder):
            self.waiting[folder].append(self._record(told, asked, now))
        else:
            self.lost.append(folder)

    def _may_put(self, endpoint: Endpoint, variant: str, folder: str) -> bool:
        model = self._aws.sagemaker._models[endpoint.fleets[variant].model]
        role = self._aws.roles[model.execution_role_arn.rpartition("/")[2]]
        statements = [s for text in role.policies.values() for s in json.loads(text)["Statement"]]
        arn = f"arn:aws:s3:::{folder.removeprefix('s3://')}x"
        return any("s3:PutObject" in s["Action"] and _covers(s, arn) for s in statements)

    def _record(self, told: Invocation, asked: Mapping[str, Any], now: datetime) -> dict[str, Any]:
        headers, request, response = self._aws.calls[-1].headers, told.request, told.response
        modes = {option["CaptureMode"] for option in asked["CaptureOptions"]}
        kinds = asked.get("CaptureContentTypeHeader", {})
        sent = ("INPUT", request.body, request.content_type)
        answered = ("OUTPUT", response.body, response.content_type)
        data = {}
        if modes & {"Input", "InputAndOutput"}:
            data["endpointInput"] = _part(*sent, kinds)
        if modes & {"Output", "InputAndOutput"}:
            data["endpointOutput"] = _part(*answered, kinds)
        event = {"eventId": told.id, "inferenceTime": f"{now:%Y-%m-%dT%H:%M:%SZ}"}
        if given := headers.get(_INFERENCE_ID):
            event["inferenceId"] = given
        return {"captureData": data, "eventMetadata": event, "eventVersion": "0"}


def _covers(statement: Mapping[str, Any], arn: str) -> bool:
    given = statement["Resource"]
    return any(fnmatchcase(arn, one) for one in ([given] if isinstance(given, str) else given))


def _part(mode: str, body: bytes, content_type: str, kinds: Mapping[str, Any]) -> dict[str, str]:
    """Text where the content type is one of those that are named, else base64."""
    name = content_type.partition(";")[0].strip()
    texts = {"CSV": kinds.get("CsvContentTypes", ()), "JSON": kinds.get("JsonContentTypes", ())}
    encoding = next((e for e, listed in texts.items() if name in listed), "BASE64")
    coded = base64.b64encode(body).decode() if encoding == "BASE64" else body.decode()
    what = {"observedContentType": content_type, "mode": mode}
    return {**what, "data": coded, "encoding": encoding}

"""Mirrored traffic and the data collector of online endpoints: a deployment gets a copy of its part
of the requests, and what is captured comes to the blobs that a data asset names, some minutes
later.

What it takes and how it writes is as
https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data and
.../how-to-safely-rollout-online-endpoints say.
"""

from __future__ import annotations

import json
import uuid
from collections import defaultdict
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from tests.fakes.azure.blob import Blob
from tests.fakes.azure.http import Answer, Call, error
from tests.fakes.azure.shapes import ANY, MAY
from tests.fakes.azure.store import Resource, Store

if TYPE_CHECKING:
    from tests.fakes.azure.fake import AzureFake

SHAPE = {"collections": ANY, "rollingRate": MAY, "requestLogging": {"captureHeaders": ANY}}
_COLLECTION = ("dataCollectionMode", "samplingRate", "dataId", "clientId")
_ROLLED = {"minute": "%Y/%m/%d/%H/%M", "hour": "%Y/%m/%d/%H", "day": "%Y/%m/%d"}
_HEADER = "azureml-model-deployment"
_MOST = 50  # percent of the traffic that is copied


def refused_mirror(store: Store, call: Call, body: Mapping[str, Any]) -> Answer | None:
    """What Azure says to mirrored traffic that it does not take."""
    facts = body["properties"]
    mirror = {name: int(n) for name, n in (facts.get("mirrorTraffic") or {}).items() if int(n)}
    live = {name for name, share in (facts.get("traffic") or {}).items() if share}
    there = {name: store.get(f"{call.path}/deployments/{name}") for name in mirror}
    ready = (
        one and one["properties"]["provisioningState"] == "Succeeded" for one in there.values()
    )
    wrong = {
        "mirror traffic is not supported for Kubernetes endpoints": bool(facts.get("compute")),
        "traffic can be mirrored to one deployment only": len(mirror) > 1,
        f"mirror traffic must sum to at most {_MOST}": not 0 <= sum(mirror.values()) <= _MOST,
        "a deployment gets live or mirrored traffic, not both": bool(live & set(mirror)),
        "mirror traffic needs live traffic of another deployment": not live,
        "a deployment of the mirror traffic is not there, or not ready": not all(ready),
    }
    said = [text for text, found in wrong.items() if found]
    return error(400, "BadRequest", f"{said[0]}, not {mirror}") if mirror and said else None


def refused(store: Store, facts: Mapping[str, Any]) -> Answer | None:
    """What Azure says to a data collector that it does not take."""
    found = facts.get("dataCollector")
    if not found:
        return None
    collections = found.get("collections") or {}
    wrong = [f"unknown field {key}" for one in collections.values() for key in one]
    wrong = [text for text in wrong if text.rpartition(" ")[2] not in _COLLECTION]
    wrong += [] if collections else ["collections: required field is missing"]
    rate = found.get("rollingRate", "Hour").lower()
    wrong += [] if rate in (*_ROLLED, "month", "year") else [f"rollingRate {rate}"]
    for name, one in collections.items():
        if one.get("dataCollectionMode", "").lower() not in ("enabled", "disabled"):
            wrong.append(f"dataCollectionMode of {name}")
        if not 0 <= one.get("samplingRate", 1.0) <= 1:
            wrong.append(f"samplingRate of {name}")
        if store.get(one.get("dataId", "")) is None:
            wrong.append(f"dataId of {name} is not registered")
    return error(400, "BadRequest", f"dataCollector: {'; '.join(wrong)}") if wrong else None


def fill(resource: Resource) -> None:
    """Words as the service gives them back, however they were sent."""
    if found := resource["properties"].get("dataCollector"):
        found["rollingRate"] = found.get("rollingRate", "hour").capitalize()
        for one in found["collections"].values():
            one["dataCollectionMode"] = one["dataCollectionMode"].capitalize()


class DataCollector:
    """Of the endpoints of `azure`. `waiting` are the records that have not come yet, by the blob
    that they come to. `one_id`: whether a copy has the request id of the original, which Azure does
    not say. `largest` are the bytes from which on a payload is put into a blob of its own."""

    def __init__(self, azure: AzureFake) -> None:
        self.azure = azure
        self.waiting: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.one_id = False
        self.largest = 4 * 1024 * 1024
        self._payloads: dict[str, bytes] = {}
        self._shares: dict[str, float] = defaultdict(float)
        self._last = ""

    def deliver(self) -> None:
        """Some minutes pass."""
        blobs = self.azure.blobs.accounts["wsstore"]["azureml-blobstore"]
        for name, records in self.waiting.items():
            lines = "".join(json.dumps(record) + "\n" for record in records)
            before = blobs[name].data if name in blobs else b""
            blobs[name] = Blob((before or b"") + lines.encode())
        blobs |= {name: Blob(data) for name, data in self._payloads.items()}
        self.waiting.clear()
        self._payloads.clear()

    def copied(self, call: Call, endpoint: Resource) -> Resource | None:
        """The deployment that gets a copy of this request. What names a deployment has none."""
        facts = endpoint["properties"]
        if _HEADER in call.headers or facts["provisioningState"] != "Succeeded":
            return None
        for name, share in (facts.get("mirrorTraffic") or {}).items():
            if self._turn(f"{endpoint['id']} {name}", int(share) / 100):
                return self.azure.store.get(f"{endpoint['id']}/deployments/{name}")
        return None

    def asked(
        self, call: Call, deployment: Resource, answer: Answer, *, copy: bool = False
    ) -> None:
        """A deployment has answered a request, maybe a `copy` of one."""
        found = deployment["properties"].get("dataCollector")
        if not isinstance(answer.body, bytes):
            return  # the front end's own: no container has seen the request
        if not copy or not self.one_id:
            given = "" if copy else call.headers.get("x-request-id", "")
            self._last = given or str(uuid.uuid4())
        for name, one in (found["collections"] if found else {}).items():
            if one["dataCollectionMode"] == "Enabled" and self._turn(
                f"{deployment['id']} {name}", one.get("samplingRate", 1.0)
            ):
                self._capture(name, call, deployment, answer)

    def _turn(self, what: str, part: float) -> bool:
        """Whether one of every 1 / part comes now."""
        self._shares[what] += part
        due = self._shares[what] >= 1 - 1e-9
        self._shares[what] -= due
        return due

    def _capture(self, name: str, call: Call, deployment: Resource, answer: Answer) -> None:
        facts = deployment["properties"]["dataCollector"]
        asset = self.azure.store.get(facts["collections"][name]["dataId"]) or {}
        now = datetime.fromtimestamp(self.azure.clock.now(), timezone.utc)
        rolled = now.strftime(_ROLLED[facts["rollingRate"].lower()])
        folder = f"{asset['properties']['dataUri'].partition('/paths/')[2].rstrip('/')}/{rolled}"
        sent = {"request": (call.body, call.headers.get("content-type", ""))}
        body, kind = sent.get(name) or (answer.body, answer.headers["Content-Type"])
        own = {"path": call.path, "method": call.method} if name in sent else {}
        record = {
            "specversion": "1.0",
            "id": str(uuid.uuid4()),
            "source": deployment["id"],
            "type": f"azureml.inference.{name}",
            "datacontenttype": kind,
            "time": f"{now:%Y-%m-%dT%H:%M:%SZ}",
            **self._data(body, kind, folder),
            **own,
            "contentrange": f"bytes 0-{len(body) - 1}/{len(body)}",
            **dict.fromkeys(("correlationid", "xrequestid"), self._last),
        }
        self.waiting[f"{folder}/{deployment['name']}-0.jsonl"].append(record)

    def _data(self, body: bytes, kind: str, folder: str) -> dict[str, Any]:
        """A payload: JSON as it is, text as text; what is binary or large by its blob's address."""
        name = kind.partition(";")[0].strip()
        if len(body) < self.largest and name == "application/json":
            return {"data": json.loads(body)}
        if len(body) < self.largest and name.startswith("text/"):
            return {"data": body.decode()}
        blob = f"{folder}/{uuid.uuid4()}"
        self._payloads[blob] = body
        account = f"https://wsstore.blob.{self.azure.storage_suffix}/azureml-blobstore"
        return {"data": f"{account}/{blob}", "datainblob": "true"}

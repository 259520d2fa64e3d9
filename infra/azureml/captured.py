"""Captured data, read: JSON Lines files below FOLDER/YYYY/MM/DD/HH/, where a deployment has one
folder for its requests and one for its answers. A line is an event, which has

{"type": "azureml.inference.request" (or response), "time", "datacontenttype", "data",
 "correlationid", "xrequestid", "datainblob": "true" (where "data" is the address of a blob)}

A request and its answer have the same ids. JSON is in "data" as it is, not as text, so that two
requests are the same where their JSON is.
https://learn.microsoft.com/azure/machine-learning/how-to-collect-production-data
"""

from __future__ import annotations

import hashlib
import heapq
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from itertools import chain, groupby
from typing import Any

from onnxferry.infra.azureml.capture import REQUEST, RESPONSE, folder
from onnxferry.infra.azureml.names import Names
from onnxferry.infra.clients.azure_blobs import BlobContainer
from onnxferry.infra.errors import CloudError
from onnxferry.infra.shadow_traffic import CapturedAnswer, first_asked
from onnxferry.scoring.wire import JSON

_SHOWN = 2000  # characters of a request that are kept, to be shown
_HOUR = "%Y/%m/%d/%H"


@dataclass(frozen=True)
class CapturedEvent:
    """One line: `ids` are its request's, surest first; `blob` is the address of its payload, where
    that is not in it."""

    time: str
    ids: tuple[str, ...]
    content_type: str
    data: Any
    blob: str = ""

    @property
    def payload(self) -> bytes:
        """What was sent or answered, where it is in the event."""
        if isinstance(self.data, str) and not self.content_type.startswith(JSON):
            return self.data.encode()
        return json.dumps(self.data, ensure_ascii=False).encode()


@dataclass(frozen=True)
class CapturedData:
    """What was captured of one deployment of `names` in `blobs` since a time."""

    blobs: BlobContainer
    names: Names
    deployment: str
    since: datetime

    def newest(self, most: int) -> tuple[CapturedAnswer, ...]:
        """The last answers, at most so many, with their requests. Raises CloudError."""
        found = list[CapturedEvent]()
        for events in self._hours(RESPONSE):
            found = heapq.nlargest(most, chain(found, events), key=lambda one: one.time)
            if len(found) >= most:
                break
        wanted = {id_ for one in found for id_ in one.ids}
        earlier = replace(self, since=first_asked(found, self.since))
        requests = earlier._requests(lambda one: not wanted.isdisjoint(one.ids))
        return tuple(self._answer(one, requests) for one in reversed(found))

    def wanted(self, copies: Iterable[CapturedAnswer]) -> Iterator[CapturedAnswer]:
        """The answers to the requests that `copies` answer: of the same id, or the same bytes.
        Raises CloudError."""
        keys = {key for one in copies for key in one.keys}
        requests = self._requests(
            lambda one: not keys.isdisjoint(one.ids) or self._digest(self._payload(one)) in keys
        )
        known = {*keys, *requests}
        for events in self._hours(RESPONSE):
            for one in events:
                if not known.isdisjoint(one.ids):
                    yield self._answer(one, requests)

    def _requests(self, wants: Callable[[CapturedEvent], bool]) -> dict[str, CapturedAnswer]:
        """What is known of those requests that somebody `wants`, by each of their ids."""
        found = dict[str, CapturedAnswer]()
        for events in self._hours(REQUEST):
            for one in filter(wants, events):
                found |= dict.fromkeys(one.ids, self._request(one))
        return found

    def _hours(self, collection: str) -> Iterator[Iterator[CapturedEvent]]:
        """The events of each folder since the time, the newest first."""
        place = folder(self.names, self.deployment, collection)
        first = self.since.astimezone(timezone.utc).strftime(_HOUR)
        files = (name for name in self.blobs.newest(place) if name.endswith(".jsonl"))
        for hour, names in groupby(files, lambda name: name[len(place) :].rpartition("/")[0]):
            if hour < first[: len(hour)]:
                return
            yield (one for name in names for one in self._read(name) if one.time >= self._from)

    @property
    def _from(self) -> str:
        return self.since.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")

    def _read(self, name: str) -> Iterator[CapturedEvent]:
        for number, line in enumerate(self.blobs.lines(name), 1):
            if line.strip():
                yield _parsed(line, f"{self.names.where}, {name}, line {number}")

    def _payload(self, one: CapturedEvent) -> bytes | None:
        if not one.blob:
            return one.payload
        name = self.blobs.name_of(one.blob)
        return self.blobs.read(name) if name else None

    def _request(self, one: CapturedEvent) -> CapturedAnswer:
        sent = self._payload(one)
        shown = (sent or b"")[:_SHOWN].decode("utf-8", errors="replace")
        return CapturedAnswer(one.time, one.ids, self._digest(sent), _items(one), shown)

    @staticmethod
    def _digest(sent: bytes | None) -> str:
        return "" if sent is None else hashlib.sha256(sent).hexdigest()

    def _answer(self, one: CapturedEvent, requests: Mapping[str, CapturedAnswer]) -> CapturedAnswer:
        asked = next((requests[id_] for id_ in one.ids if id_ in requests), CapturedAnswer(""))
        body, kind = self._payload(one), one.content_type
        return replace(asked, time=one.time, ids=one.ids, body=body, content_type=kind)


def _parsed(line: bytes, where: str) -> CapturedEvent:
    try:
        return event(json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError) as e:
        expected = "type, time and data, as Azure's data collector writes them"
        raise CloudError(
            f"{where}: no captured request ({type(e).__name__}); it should have {expected}"
        ) from e


def event(found: Mapping[str, Any]) -> CapturedEvent:
    """One line. Raises KeyError, ValueError, TypeError or AttributeError where it is none."""
    given = (str(found.get(key) or "") for key in ("xrequestid", "correlationid"))
    ids = tuple(dict.fromkeys(filter(None, given)))
    kind = str(found.get("datacontenttype") or JSON)
    by_address = str(found.get("datainblob", "")).lower() == "true"
    blob = str(found["data"]) if by_address else ""
    return CapturedEvent(str(found["time"]), ids, kind, found["data"], blob)


def _items(one: CapturedEvent) -> int | None:
    """How many inputs a request has; None for one that is no list, or not JSON."""
    inputs = one.data.get("inputs") if isinstance(one.data, dict) else None
    return len(inputs) if isinstance(inputs, list) else None

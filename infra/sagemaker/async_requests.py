"""Ask an asynchronous endpoint: the request is put into S3, or is there; SageMaker is told where,
and the answer, or what it says of the failure, is waited for in S3."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from onnxferry.infra.clients.aws import AwsClients
from onnxferry.infra.errors import InvokeFailed, NotFound, Refused, TimedOut
from onnxferry.infra.sagemaker.storage import split
from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.exits import program

_REFUSED = re.compile(r'Received \w+ error \((\d+)\) from \S+ with message "(.*)"', re.DOTALL)
_UNKNOWN = 424  # the status of a failure that tells none, as SageMaker's own for a model's


@dataclass(frozen=True)
class AsyncRequests:
    """To one endpoint; requests are uploaded to `place` (s3://.../) with the metadata `mark`, and
    taken away when they are answered. `wait` is infra.waiting's. `tidy`: the answer goes, too."""

    clients: AwsClients
    endpoint: str
    place: str
    mark: Mapping[str, str]
    wait: Callable[..., None]
    tidy: bool = False

    def send(self, request: Request, timeout: float) -> Reply:
        """The answer to `request`. Raises InvokeFailed after `timeout` seconds."""
        with self._uploaded(request) as source:
            return self.refer(source, request, timeout)

    def ask(self, source: str, request: Request, timeout: float) -> Reply:
        """As `refer` where there is a `source`, else as `send`."""
        if source:
            return self.refer(source, request, timeout)
        return self.send(request, timeout)

    def refer(self, source: str, request: Request, timeout: float) -> Reply:
        """The answer to the request at `source` (s3://...), of the content type that `request`
        says."""
        began = time.perf_counter()
        told = self.clients.invoke_async(self.endpoint, source, request, timeout)
        places = (told["OutputLocation"], told.get("FailureLocation", ""))
        body, refused = self._awaited(*places, timeout)
        seconds = time.perf_counter() - began
        if self.tidy:
            self._delete(places[1] if refused else places[0])
        if not refused:
            return Reply(200, body, request.accept if request.accept != "*/*" else JSON, seconds)
        status, said = _failure(body.decode("utf-8", errors="replace"))
        return Reply(status, said.encode(), "text/plain", seconds)

    @contextmanager
    def _uploaded(self, request: Request) -> Iterator[str]:
        source = f"{self.place}{uuid.uuid4()}"
        bucket, key = split(source)
        about = {"ContentType": request.content_type or JSON, "Metadata": self.mark}
        put = ("s3", "put_object", source)
        self.clients.call(*put, Bucket=bucket, Key=key, Body=request.body, **about)
        try:
            yield source
        finally:
            self._delete(source)

    def _awaited(self, answer: str, failure: str, timeout: float) -> tuple[bytes, bool]:
        found: list[tuple[bytes, bool]] = []

        def missing() -> str | None:
            found.extend(filter(None, (self._found(answer, failure),)))
            return None if found else "without an answer"

        where = f"AWS {self.clients.region}, endpoint {self.endpoint}"
        try:
            self.wait(where, missing, limit=timeout)
        except TimedOut as e:
            told = f"; the answer will be at {answer}, or a failure at {failure}"
            raise InvokeFailed(
                f"{where}: no answer within {timeout:g} s{told}. No instance may run yet, or the"
                f" role may not write there: {program('status')}, {program('logs')}"
            ) from e
        return found[0]

    def _found(self, answer: str, failure: str) -> tuple[bytes, bool] | None:
        """The answer, or what is said of the failure and True; None while there is neither."""
        for place, refused in ((answer, False), (failure, True)):
            if place and (body := self._read(place)) is not None:
                return body, refused
        return None

    def _read(self, place: str) -> bytes | None:
        bucket, key = split(place)
        try:
            return bytes(self.clients.read_object(place, Bucket=bucket, Key=key)["Body"])
        except NotFound:
            return None

    def _delete(self, place: str) -> None:
        bucket, key = split(place)
        self.clients.call("s3", "delete_object", place, Bucket=bucket, Key=key)


@contextmanager
def asked_otherwise(advice: str) -> Iterator[None]:
    """SageMaker's refusal of a way of asking that is not the endpoint's, with `advice`."""
    try:
        yield
    except Refused as e:
        if "inference type" in str(e):
            e.with_context(advice)
        raise


def _failure(text: str) -> tuple[int, str]:
    """The container's own status and words in what SageMaker says of a failure."""
    found = _REFUSED.search(text)
    return (int(found[1]), found[2]) if found else (_UNKNOWN, text)

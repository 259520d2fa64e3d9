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
from onnxferry.infra.errors import InvokeFailed, NotAllowed, NotFound, Refused, TimedOut
from onnxferry.infra.sagemaker.names import digest
from onnxferry.infra.sagemaker.storage import split
from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.system.exits import program

_REFUSED = re.compile(r'Received \w+ error \((\d+)\) from \S+ with message "(.*)"', re.DOTALL)
_NOT_TAKEN = (NotAllowed, NotFound, Refused)  # nobody will look at what was uploaded
_UNKNOWN = 424  # the status of a failure that tells none, as SageMaker's own for a model's


@dataclass(frozen=True)
class _Asked:
    """Where the answer to a request will be, or what is said of its failure, and since when."""

    answer: str
    failure: str
    began: float


@dataclass(frozen=True)
class AsyncRequests:
    """To one endpoint. `places` are those of async_inference.places: requests are uploaded with the
    metadata `mark`, and taken away when they are answered. `wait` is infra.waiting's. With a
    `label`, which is the same in each run, requests and answers are named by it. No answer stays
    in onnxferry's own place, nor with a label."""

    clients: AwsClients
    endpoint: str
    places: Mapping[str, str]
    mark: Mapping[str, str]
    wait: Callable[..., None]
    label: str = ""

    def send(self, request: Request, timeout: float) -> Reply:
        """The answer to `request`. Raises InvokeFailed after `timeout` seconds."""
        named = self.label and f"onnxferry-{digest([self.label, request.body.hex()])}"
        with self._uploaded(request, named) as source:
            try:
                asked = self._told(source, request, timeout, named)
            except _NOT_TAKEN:
                self._delete(source)
                raise
            return self._answered(asked, request, timeout, named)

    def ask(self, source: str, request: Request, timeout: float) -> Reply:
        """As `refer` where there is a `source`, else as `send`."""
        if source:
            return self.refer(source, request, timeout)
        return self.send(request, timeout)

    def refer(self, source: str, request: Request, timeout: float) -> Reply:
        """The answer to the request at `source` (s3://...), of the content type that `request`
        says."""
        return self._answered(self._told(source, request, timeout, ""), request, timeout, "")

    def _answered(self, asked: _Asked, request: Request, timeout: float, named: str) -> Reply:
        body, refused = self._awaited(asked.answer, asked.failure, timeout)
        seconds = time.perf_counter() - asked.began
        place = asked.failure if refused else asked.answer
        if named or place.startswith(self.places["own"]):
            self._delete(place)
        if not refused:
            return Reply(200, body, request.accept if request.accept != "*/*" else JSON, seconds)
        status, said = _failure(body.decode("utf-8", errors="replace"))
        return Reply(status, said.encode(), "text/plain", seconds)

    def _told(self, source: str, request: Request, timeout: float, named: str) -> _Asked:
        """SageMaker is told of the request; what an earlier run has left of it is gone."""
        began = time.perf_counter()
        if named:
            self._delete(self._at("answers", f"{named}.out"))
            self._delete(self._at("failures", f"{named}-error.out"))
        given = {"InferenceId": named} if named else {}
        told = self.clients.invoke_async(self.endpoint, source, request, timeout, **given)
        return _Asked(told["OutputLocation"], told.get("FailureLocation", ""), began)

    @contextmanager
    def _uploaded(self, request: Request, named: str) -> Iterator[str]:
        source = self._at("requests", named or str(uuid.uuid4()))
        bucket, key = split(source)
        about = {"ContentType": request.content_type or JSON, "Metadata": self.mark}
        put = ("s3", "put_object", source)
        self.clients.call(*put, Bucket=bucket, Key=key, Body=request.body, **about)
        try:
            yield source
        except BaseException:  # the answer to a request of the user's may yet come
            if named:
                self._delete(source)
            raise
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

    def _at(self, kind: str, name: str) -> str:
        return f"{self.places[kind].rstrip('/')}/{name}"

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

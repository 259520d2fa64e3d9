"""Requests to endpoints: which variant answers, from which package, within which limits."""

from __future__ import annotations

import hashlib
import tarfile
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from onnxferry import scoring
from onnxferry.scoring.wire import Request, Response
from tests.fakes.aws.answers import Answer, Refusal, model_error
from tests.fakes.aws.asynchronous import Queue
from tests.fakes.aws.calls import Call
from tests.fakes.aws.endpoints import Endpoint
from tests.fakes.aws.fleets import Fleet

if TYPE_CHECKING:
    from tests.fakes.aws.server import AwsServer

Host = Callable[[Request], Response]
_MOST = {"real-time": 25 << 20, "serverless": 4 << 20}  # bytes of a request


@dataclass(frozen=True)
class Invocation:
    """One request that a variant of `endpoint` answered, as data capture may keep it."""

    endpoint: Endpoint
    variant: str
    request: Request
    response: Response
    id: str


class Invocations:
    """What the endpoints of `aws` answer. `hosts` makes what answers for the package that is
    unpacked in a folder (the archive is beside it); `up` holds it by the package's URL. `seen` is
    told of each invocation; `queue` is of the asynchronous endpoints."""

    def __init__(self, aws: AwsServer, account: str, folder: Path) -> None:
        self._aws, self._account, self._folder = aws, account, folder
        self.hosts: Callable[[Path], Host] = loaded
        self.up: dict[str, Host] = {}
        self.seen: list[Callable[[Invocation], None]] = []
        self.queue = Queue(aws, self)
        self._shares: dict[str, dict[str, int]] = {}

    def answer(self, call: Call) -> Answer:
        """What SageMaker's runtime answers to `call`."""
        found = self._serving(call.path.split("/")[2])
        if (call.operation == "InvokeEndpointAsync") is not bool(found.asynchronous):
            said = "does not support this inference type"
            raise _invalid(f"Endpoint {found.name} of account {self._account} {said}.")
        if found.asynchronous:
            return self.queue.accept(found, call)
        variant = self.variant(found, call.headers.get("x-amzn-sagemaker-target-variant", ""))
        _check_size(found.fleets[variant], len(call.body))
        response = self.invoke(found, variant, _request(call), str(uuid.uuid4()))
        if response.status != 200:
            return model_error(response)
        kind = {"Content-Type": response.content_type}
        return Answer(200, response.body, kind | {"x-Amzn-Invoked-Production-Variant": variant})

    def _serving(self, name: str) -> Endpoint:
        found = self._aws.endpoints.get(name)
        if found is None or not found.serving:
            raise Refusal(
                "ValidationError", f"Endpoint {name} of account {self._account} not found."
            )
        return found

    def variant(self, found: Endpoint, wanted: str) -> str:
        """The one that is asked for, or the one whose turn it is by the weights."""
        answering = {name: f for name, f in found.fleets.items() if not f.shadow}
        if wanted and wanted not in answering:
            raise Refusal(
                "ValidationError", f"Variant {wanted} of endpoint {found.name} not found."
            )
        share = self._shares.setdefault(found.name, {})
        weighed = [name for name, fleet in answering.items() if fleet.weight > 0]
        turn = min(weighed, key=lambda name: (share.get(name, 0) + 1) / answering[name].weight)
        variant = wanted or turn
        share[variant] = share.get(variant, 0) + 1
        return variant

    def invoke(self, found: Endpoint, variant: str, request: Request, event: str) -> Response:
        """The answer of a variant's container."""
        config = self._aws.endpoints.answering(found)
        response = self._host(config, variant)(request)
        if response.status == 200:
            self._aws.endpoints.answered.add(config)
        for seen in self.seen:
            seen(Invocation(found, variant, request, response, event))
        return response

    def _host(self, config: str, variant: str) -> Host:
        """What answers for a variant: the package that its model names, out of S3."""
        configuration = self._aws.sagemaker.endpoint_configs[config]
        variants = (
            *configuration.production_variants,
            *(getattr(configuration, "shadow_production_variants", None) or ()),
        )
        model = next(v["ModelName"] for v in variants if v["VariantName"] == variant)
        url = self._aws.sagemaker._models[model].primary_container["ModelDataUrl"]
        if url not in self.up:
            self.up[url] = self.hosts(self.unpacked(url))
        return self.up[url]

    def object(self, url: str) -> bytes:
        """The bytes of an object (s3://...). Raises KeyError where there is none."""
        bucket, _, key = url.removeprefix("s3://").partition("/")
        found = self._aws.s3.buckets.get(bucket)
        if found is None or key not in found.keys:
            raise KeyError(url)
        return bytes(self._aws.s3.get_object(bucket, key).value)

    def unpacked(self, url: str) -> Path:
        """The folder of a package, unpacked once for all accounts."""
        archive = self.object(url)
        folder = self._folder / hashlib.sha256(archive).hexdigest()
        if not folder.exists():
            folder.mkdir()
            (folder / "model.tar.gz").write_bytes(archive)
            with tarfile.open(folder / "model.tar.gz") as tar:
                tar.extractall(folder / "model", filter="data")
        return folder / "model"


@cache
def loaded(folder: Path) -> Host:
    """The real scoring core on an unpacked package."""
    return scoring.load(folder).handle


def _request(call: Call) -> Request:
    given = call.headers
    return Request(call.body, given.get("content-type", ""), given.get("accept", "*/*"))


def _check_size(fleet: Fleet, size: int) -> None:
    mode = "serverless" if fleet.serverless else "real-time"
    if size > _MOST[mode]:
        raise _invalid(f"Request body of {size} bytes is over {_MOST[mode]}.", 413)


def _invalid(message: str, status: int = 400) -> Refusal:
    return Refusal("ValidationError", message, status)

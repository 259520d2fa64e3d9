"""The server: moto's WSGI application with a layer in front, which checks, records, troubles,
answers or passes on."""

from __future__ import annotations

import io
import os
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from email.utils import formatdate
from pathlib import Path
from socketserver import BaseServer
from typing import Any

from moto.backends import get_backend
from moto.moto_api._internal.models import moto_api_backend
from moto.moto_server.werkzeug_app import MotoRequestHandler, create_backend_app
from werkzeug.serving import make_server

from tests.fakes.aws.alarms import Alarms
from tests.fakes.aws.answers import Answer, Refusal, answer, refuse, validation
from tests.fakes.aws.blue_green import BlueGreen
from tests.fakes.aws.calls import Call, recognise, wrong
from tests.fakes.aws.capture import DataCapture
from tests.fakes.aws.endpoints import Endpoints
from tests.fakes.aws.faults import Dropped, Faults
from tests.fakes.aws.hosting import Hosting
from tests.fakes.aws.invocations import Host, Invocations
from tests.fakes.aws.metrics import Metrics
from tests.fakes.aws.objects import Objects
from tests.fakes.aws.permissions import Authorizer
from tests.fakes.aws.stack_resources import Services
from tests.fakes.aws.stacks import Stacks
from tests.fakes.aws.tagging import change_tags, check_tags, listed
from tests.fakes.aws.transform_jobs import Account, TransformJobs

ACCOUNT = "123456789012"
REGION = "eu-west-1"
_UNSET = (
    "AWS_PROFILE",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_SESSION_TOKEN",
    "HTTP_PROXY",
    "http_proxy",
)
_ARN = f"arn:aws:sagemaker:{REGION}:{ACCOUNT}"

_OWN = ("sagemaker", "service-quotas", "application-autoscaling", "cloudwatch")


class AwsServer:
    """AWS as one account in one region sees it.

    `refusals` maps an operation ("CreateModel") to what it always answers. `unknown_role` is how
    many times CreateModel does not know the role yet. `authorizer` decides what the caller may
    do.
    """

    def __init__(self) -> None:
        self._server = make_server("127.0.0.1", 0, self, threaded=True, request_handler=_Quiet)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._moto: dict[str, Any] = {}  # each service's application
        self._services = Services(self.by_itself, self.url, REGION)
        self._lock = threading.RLock()
        self._temp = tempfile.TemporaryDirectory(prefix="aws-fake-")
        self.reset()

    def reset(self) -> None:
        """An account with nothing in it."""
        moto_api_backend.reset()
        self.hosting = Hosting(self, ACCOUNT, REGION)
        self.alarms = Alarms(ACCOUNT, REGION)
        self.blue_green = BlueGreen(self.alarms)
        self.endpoints = Endpoints(_ARN, self.hosting.configuration, self.say, self.blue_green)
        self.endpoints.policies = self.hosting.policies
        self.objects = Objects(lambda: self.s3)
        self.refusals: dict[str, Refusal] = {}
        self.violations: list[str] = []
        self.unknown_role = 0
        self.authorizer = Authorizer(ACCOUNT, REGION, key_of=self.hosting.key_of)
        self.invocations = Invocations(self, ACCOUNT, Path(self._temp.name))
        self.stacks = Stacks(self._services, ACCOUNT, REGION)
        # what answers instead of moto: each with a table of `operations`
        self.metrics = Metrics()
        self.capture = DataCapture(self)
        self.transform_jobs = TransformJobs(_ARN, Account(self, ACCOUNT, REGION))
        own = (self.endpoints, self.hosting, self.alarms, self.metrics, self.transform_jobs)
        self.parts: tuple[Any, ...] = own
        self.begin()

    def begin(self) -> None:
        """Count calls anew, without faults."""
        self.calls: list[Call] = []
        self.faults = Faults()

    @property
    def sagemaker(self) -> Any:
        return get_backend("sagemaker")[ACCOUNT][REGION]

    @property
    def s3(self) -> Any:
        return get_backend("s3")[ACCOUNT]["aws"]

    @property
    def roles(self) -> dict[str, Any]:
        return {role.name: role for role in get_backend("iam")[ACCOUNT]["aws"].roles.values()}

    @property
    def keys(self) -> dict[str, list[str]]:
        """Bucket -> keys of the objects in it."""
        return {name: sorted(bucket.keys) for name, bucket in self.s3.buckets.items()}

    @property
    def logs(self) -> list[str]:
        """The log groups."""
        return sorted(get_backend("logs")[ACCOUNT][REGION].groups)

    @property
    def hosts(self) -> Callable[[Path], Host]:
        """See Invocations."""
        return self.invocations.hosts

    @hosts.setter
    def hosts(self, made: Callable[[Path], Host]) -> None:
        self.invocations.hosts = made

    @property
    def up(self) -> dict[str, Host]:
        """See Invocations."""
        return self.invocations.up

    @up.setter
    def up(self, hosts: dict[str, Host]) -> None:
        self.invocations.up = hosts

    def say(self, endpoint: str, text: str, log: str = "") -> None:
        """The containers of `endpoint` print `text`, or SageMaker does into `log`."""
        backend, group = (
            get_backend("logs")[ACCOUNT][REGION],
            f"/aws/sagemaker/Endpoints/{endpoint}",
        )
        if group not in backend.groups:
            backend.create_log_group(group, {})
        streams = backend.groups[group].streams
        stream = "/".join(filter(None, ("AllTraffic/i-0123456789abcdef0", log)))
        if stream not in streams:
            backend.create_log_stream(group, stream)
        now = 1_790_000_000_000 + len(self.calls)
        events = [{"timestamp": now, "message": line} for line in text.splitlines()]
        if events:
            streams[stream].put_log_events(events)

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """WSGI."""
        return self._serve(environ, start_response, self._troubled)

    def by_itself(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        """WSGI, for what AWS does on its caller's behalf: no client sees it, or troubles it."""
        return self._serve(environ, start_response, self._answer)

    def _troubled(self, call: Call, environ: dict[str, Any]) -> Answer:
        self.calls.append(call)
        return self.faults.around(call, lambda c: self._answer(c, environ))

    def _serve(
        self,
        environ: dict[str, Any],
        start_response: Callable[..., Any],
        act: Callable[[Call, dict[str, Any]], Answer],
    ) -> Any:
        length = environ.get("CONTENT_LENGTH")
        body = environ["wsgi.input"].read(int(length)) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        headers = _headers(environ)
        try:
            with self._lock:
                call = recognise(len(self.calls), environ, headers, body)
                found = act(call, environ)
        except Dropped as e:
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError from e
        fixed = (
            {"Content-Length": str(len(found.body))} if found.body or call.method != "HEAD" else {}
        )
        date = {"Date": formatdate(self.faults.now(), usegmt=True)}
        start_response(f"{found.status} X", [*{**found.headers, **fixed, **date}.items()])
        return [found.body]

    def _answer(self, call: Call, environ: dict[str, Any]) -> Answer:
        if problem := wrong(call):
            self.violations.append(problem)
            return refuse(call, validation(problem))
        try:
            self.authorizer.check(call)
            if call.operation in self.refusals:
                raise self.refusals[call.operation]
            if whole := self._whole.get(call.service):
                return whole(call)
            if call.service in _OWN and (own := self._own(call)) is not None:
                return answer(own)
        except Refusal as e:
            return refuse(call, e)
        if call.service == "s3":
            self.invocations.queue.tick()
            return self.objects.answer(call, lambda: self._pass_on(call, environ))
        return self._pass_on(call, environ)

    @property
    def _whole(self) -> Mapping[str, Callable[[Call], Answer]]:
        """The services that this layer answers alone."""
        return {"sagemaker-runtime": self.invocations.answer, "cloudformation": self.stacks.answer}

    def _pass_on(self, call: Call, environ: dict[str, Any]) -> Answer:
        said: list[Any] = []
        if call.service not in self._moto:
            self._moto[call.service] = create_backend_app(call.service)
        chunks = self._moto[call.service](
            environ, lambda status, headers, exc_info=None: said.append((status, headers))
        )
        body = b"".join(chunks)
        status, headers = said[0]
        kept = {
            key: value
            for key, value in headers
            if key.lower() not in ("connection", "date", "server")
        }
        return Answer(int(status.split()[0]), body, kept)

    def _own(self, call: Call) -> Any:
        """What this layer answers of SageMaker, or refuses before moto sees it; None leaves it to
        moto."""
        asked = call.parameters
        check_tags(asked.get("Tags", []))
        tables = [part.operations() for part in self.parts]
        for name in (str(call), call.operation):
            for table in tables:
                if handler := table.get(name):
                    return handler(asked)
        if call.operation in ("AddTags", "ListTags", "DeleteTags"):
            return self._tagged(call.operation, asked)
        return None

    def _tagged(self, operation: str, asked: Mapping[str, Any]) -> Any:
        """As AWS does: a tag of the same key is replaced."""
        arn = asked["ResourceArn"]
        kind, _, name = arn.rpartition(":")[2].partition("/")
        if kind == "endpoint":
            tags = self.endpoints.tags_of(arn)
            change_tags(tags, operation, asked)
            return listed(tags)
        known = {
            "model": self.sagemaker._models,
            "endpoint-config": self.sagemaker.endpoint_configs,
            "transform-job": self.transform_jobs,
        }
        if name not in known[kind]:
            raise validation(f'Could not find {kind} "{arn}".')
        tags = {tag["Key"]: tag["Value"] for tag in known[kind][name].tags}
        change_tags(tags, operation, asked)
        known[kind][name].tags = listed(tags)["Tags"]
        return listed(tags)

    @contextmanager
    def reachable(self, **changes: str | None) -> Iterator[None]:
        """The SDK of this process and its children finds the fake, signed in, and nothing that
        the machine knows; `changes` are other variables, None for one that is not set."""
        none, before = f"{self._temp.name}/none", dict(os.environ)
        given: dict[str, str | None] = {
            **dict.fromkeys(_UNSET),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_CONFIG_FILE": none,
            "AWS_SHARED_CREDENTIALS_FILE": none,
            "AWS_EC2_METADATA_DISABLED": "true",
            **changes,
        }
        os.environ |= {name: value for name, value in given.items() if value is not None}
        for name in [name for name, value in given.items() if value is None]:
            os.environ.pop(name, None)
        try:
            yield
        finally:
            os.environ.clear()
            os.environ |= before

    @contextmanager
    def answering(self) -> Iterator[None]:
        """Answer for as long as the block runs. (werkzeug's own serve_forever would close the port
        at its end.)"""
        serve = BaseServer.serve_forever
        thread = threading.Thread(target=serve, args=(self._server, 0.01), daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._server.shutdown()
            thread.join()

    def close(self) -> None:
        self._server.server_close()
        self._temp.cleanup()


def _headers(environ: Mapping[str, Any]) -> dict[str, str]:
    found = {
        k[5:].replace("_", "-").lower(): v for k, v in environ.items() if k.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            found[name.replace("_", "-").lower()] = environ[name]
    return found


class _Quiet(MotoRequestHandler):  # type: ignore[misc]
    def send_response(self, code: Any, message: Any = None) -> None:
        """Without a Date of its own, which the server tells."""
        self.send_response_only(code, message)

    def log(self, *_: Any) -> None:
        pass


@contextmanager
def aws_server() -> Iterator[AwsServer]:
    """A fake that is up, on a free port, for as long as the block runs."""
    made = AwsServer()
    try:
        with made.answering():
            yield made
    finally:
        made.close()

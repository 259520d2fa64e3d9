"""The server: TLS on loopback, one port for all hosts of the cloud, every call recorded."""

from __future__ import annotations

import itertools
import json
import os
import socket
import ssl
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any

import trustme
from werkzeug.serving import WSGIRequestHandler, make_server
from werkzeug.wrappers import Request, Response

from tests.fakes.azure.arm import Arm
from tests.fakes.azure.blob import FakeBlobs
from tests.fakes.azure.clock import ServerClock
from tests.fakes.azure.faults import Dropped, Faults
from tests.fakes.azure.http import Answer, Call, Route, error
from tests.fakes.azure.login import CLIENT, SECRET, TENANT, Login
from tests.fakes.azure.operations import FakeOperations
from tests.fakes.azure.permissions import Authorizer
from tests.fakes.azure.store import Store

SUBSCRIPTION = "00000000-0000-0000-0000-000000000001"
HOSTS = (
    "localhost",
    "127.0.0.1",
    "*.blob.core.localhost",
    "*.scm.localhost",
    "*.azurewebsites.localhost",
    "*.inference.ml.localhost",
)


class AzureFake:
    """Azure on loopback, from `with` to its end."""

    def __init__(self) -> None:
        self.store = Store()
        self.clock = ServerClock()
        self.operations = FakeOperations()
        self.faults = Faults(self.clock)
        self.calls: list[Call] = []
        self._numbers = itertools.count()
        self._lock = threading.RLock()
        self._folder = tempfile.TemporaryDirectory()
        self._authority = trustme.CA()
        self.certificates = Path(self._folder.name) / "ca.pem"
        self._authority.cert_pem.write_to_path(str(self.certificates))
        self._server = make_server(
            "127.0.0.1",
            0,
            self._application,
            threaded=True,
            request_handler=type("_Handler", (_Handler,), {"clock": self.clock}),
            ssl_context=self._tls(),
        )
        self.port = self._server.server_port
        self.url = f"https://localhost:{self.port}"
        self.storage_suffix = f"core.localhost:{self.port}"
        self.login = Login(self.url, self.storage_suffix)
        self.arm = Arm(self.url, self.store, self.operations)
        self.blobs = FakeBlobs(self.clock)
        self.authorizer = Authorizer(self.store)
        self._routes: list[Route] = [*self.blobs.routes]

    def add(self, *routes: Route) -> None:
        """Routes of a service, asked before those of the resource manager."""
        self._routes += routes

    @property
    def own_routes(self) -> tuple[Route, ...]:
        """Those of the services that were added."""
        return tuple(self._routes)

    def __enter__(self) -> AzureFake:
        threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True
        ).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._folder.cleanup()

    def environment(self) -> dict[str, str]:
        """The variables by which the SDKs find this cloud and sign in to it."""
        return {
            "ARM_CLOUD_METADATA_URL": f"{self.url}/metadata/endpoints?api-version=2019-05-01",
            "AZUREML_CURRENT_CLOUD": self.login.cloud,
            "AZURE_AUTHORITY_HOST": self.url,
            "AZURE_TENANT_ID": TENANT,
            "AZURE_CLIENT_ID": CLIENT,
            "AZURE_CLIENT_SECRET": SECRET,
            "REQUESTS_CA_BUNDLE": str(self.certificates),
            "SSL_CERT_FILE": str(self.certificates),
        }

    @contextmanager
    def reachable(self, *, known: bool = True) -> Iterator[None]:
        """The SDKs of this process and its children find the fake, which knows who signs in unless
        `known` is false; names below localhost, which few systems resolve, lead to it."""
        real, before = socket.getaddrinfo, dict(os.environ)

        def resolve(host: Any, *args: Any, **kwargs: Any) -> Any:
            return real("127.0.0.1" if str(host).endswith(".localhost") else host, *args, **kwargs)

        socket.getaddrinfo = resolve
        os.environ |= {**self.environment(), **({} if known else {"AZURE_CLIENT_SECRET": "-"})}
        try:
            yield
        finally:
            socket.getaddrinfo = real
            os.environ.clear()
            os.environ |= before

    def restart_counting(self) -> None:
        """Forget the calls so far, so that the next has number 0."""
        with self._lock:
            self.calls.clear()
            self._numbers = itertools.count()

    def _tls(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(*HOSTS).configure_cert(context)
        return context

    def number(self) -> int:
        """The number of the next call."""
        with self._lock:
            return next(self._numbers)

    def handle(self, call: Call) -> Answer:
        """The answer to a call, which is recorded. Raises Dropped."""
        # one call at a time: the state is simple, and the order of calls is the clients'
        with self._lock:
            self.calls.append(call)
            return self.faults.around(call, self._answer)

    def _application(self, environ: dict[str, Any], start_response: Any) -> Any:
        try:
            answer = self.handle(_call(self.number(), Request(environ)))
        except Dropped as e:
            time.sleep(e.seconds)
            with suppress(OSError):
                environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionResetError from None
        return _response(answer)(environ, start_response)

    def _answer(self, call: Call) -> Answer:
        own = (*self._routes, *self.operations.routes, *self.login.routes, *self.arm.routes)
        for route in own:
            if match := route.match(call):
                return self.authorizer.check(call) or route.handler(call, match)
        return error(404, "NotFound", f"{call}: the fake has no such route")


class _Handler(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"  # clients keep their connections
    disable_nagle_algorithm = True
    clock: ServerClock

    def date_time_string(self, timestamp: float | None = None) -> str:
        return self.clock.date(timestamp)

    def log(self, type: str, message: str, *args: Any) -> None:
        pass


def _call(number: int, request: Request) -> Call:
    headers: Mapping[str, str] = {key.lower(): value for key, value in request.headers.items()}
    return Call(
        number,
        request.method,
        request.host,
        request.path,
        dict(request.args),
        headers,
        request.get_data(),
    )


def _response(answer: Answer) -> Response:
    if isinstance(answer.body, bytes):
        return Response(answer.body, answer.status, dict(answer.headers))
    text = b"" if answer.body is None else json.dumps(answer.body).encode()
    return Response(text, answer.status, dict(answer.headers), mimetype="application/json")

"""A TLS server on loopback whose answers are bytes, or functions that write to the connection, and
the network that takes it for a public host's."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trustme

from onnxferry import scoring
from onnxferry.scoring.classify import ClassifyForm
from onnxferry.scoring.forms import PIPELINE, Form
from onnxferry.scoring.tasks import Task
from onnxferry.scoring.urls import Policy
from onnxferry.scoring.urls.addresses import is_public
from onnxferry.scoring.urls.fetcher import Fetcher
from onnxferry.scoring.urls.resolution import Resolver as Resolve
from onnxferry.scoring.urls.task import Fetching
from onnxferry.scoring.urls.visit import Network

HERE = "127.0.0.1"
Answer = bytes | Callable[[socket.socket], None]


def response(
    body: bytes = b"", kind: str = "image/png", status: str = "200 OK", **headers: str
) -> bytes:
    """A whole answer. `headers` with _ for -; an empty one is left out."""
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    told = {"Content-Type": kind, "Content-Length": str(len(body)), **given}
    lines = [f"{name}: {value}" for name, value in told.items() if value]
    return "\r\n".join([f"HTTP/1.1 {status}", *lines, "", ""]).encode("latin-1") + body


def redirect(to: str, status: str = "302 Found") -> bytes:
    """An answer that leads elsewhere."""
    return response(status=status, Location=to)


@dataclass
class Server:
    """Answers by path; `heads` are those of the requests, `names` those that TLS was asked for."""

    context: ssl.SSLContext | None
    answers: dict[str, Answer] = field(default_factory=dict)
    heads: list[bytes] = field(default_factory=list)
    names: list[str | None] = field(default_factory=list)
    ended: threading.Event = field(
        default_factory=threading.Event
    )  # a connection, in time where it was cut
    stopped: threading.Event = field(default_factory=threading.Event)
    port: int = 0

    def at(self, path: str, host: str = "images.example.com") -> str:
        """A URL of this server."""
        return f"https://{host}:{self.port}{path}"

    def run(self, listener: socket.socket) -> None:
        while not self.stopped.is_set():
            with contextlib.suppress(OSError):
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=[client], daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with contextlib.suppress(OSError), client:
            client.settimeout(10)
            wrap = self.context.wrap_socket if self.context else None
            with wrap(client, server_side=True) if wrap else client as connection:
                self._answer(connection)
        self.ended.set()

    def _answer(self, connection: socket.socket) -> None:
        head = connection.recv(1)
        if head == b"\x16":  # the beginning of TLS, for a server without
            connection.sendall(response(status="400 Bad Request"))
            return
        while b"\r\n\r\n" not in head:
            if not (data := connection.recv(4096)):
                return
            head += data
        self.heads.append(head)
        path = head.split(b" ")[1].decode("ascii").partition("?")[0]
        answer = self.answers.get(path, response(status="404 Not Found"))
        if isinstance(answer, bytes):
            connection.sendall(answer)
        else:
            answer(connection)

    def drip(self, data: bytes, whole: bytes = b"") -> Callable[[socket.socket], None]:
        """An answer that sends `data` again and again after `whole`, for 10 s at most."""

        def send(connection: socket.socket) -> None:
            connection.sendall(whole)
            for _ in range(1000):
                connection.sendall(data)
                if self.stopped.wait(0.01):
                    return

        return send


@contextlib.contextmanager
def serving(certificate: trustme.LeafCert | None) -> Iterator[Server]:
    """A Server with that certificate, or without TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER) if certificate else None
    server = Server(context)
    if context and certificate:
        certificate.configure_cert(context)
        context.sni_callback = lambda _, name, __: server.names.append(name)
    with socket.create_server((HERE, 0), backlog=64) as listener:
        listener.settimeout(0.2)
        server.port = listener.getsockname()[1]
        thread = threading.Thread(target=server.run, args=[listener], daemon=True)
        thread.start()
        yield server
        server.stopped.set()
        thread.join()


@dataclass
class Resolver:
    """A double: the addresses of names, an entry for each look-up in turn, the last one again.
    Other names have HERE. `asked`: what was looked up."""

    names: Mapping[str, Sequence[Sequence[str]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)

    def __call__(self, name: str, port: int) -> Sequence[str]:
        turns = self.names.get(name, [[HERE]])
        turn = min(self.asked.count(name), len(turns) - 1)
        self.asked.append(name)
        return turns[turn]


def policy(port: int, **more: object) -> Policy:
    """That allows every host of example.com and example.org, at `port` and the usual one."""
    names = ("*.example.com", "*.example.org")
    hosts = (*names, *(f"{name}:{port}" for name in names))
    return Policy(**{"allow": True, "hosts": hosts, **more})  # type: ignore[arg-type]


@dataclass
class Host:
    """A scorer of a tiny model that fetches pictures from the server of the test."""

    scorer: scoring.Scorer
    task: Task
    authority: trustme.CA

    @staticmethod
    def of(folder: Path, authority: trustme.CA) -> Host:
        scorer = scoring.load(folder, {})
        return Host(scorer, scorer.task, authority)

    def network(self, resolver: Resolve | None = None) -> Network:
        """In which HERE, and no other address of this machine, is a public one."""

        def context() -> ssl.SSLContext:
            return ssl.create_default_context(cadata=self.authority.cert_pem.bytes().decode())

        check = lambda address: address == HERE or is_public(address)  # noqa: E731
        return Network(resolver or Resolver(), check, context)

    def allow(self, policy: Policy, network: Network | Resolve | None = None) -> Host:
        """Fetch by `policy`."""
        own = network if isinstance(network, Network) else self.network(network)
        self.scorer.task = Fetching(self.task, Fetcher(policy, own))
        return self

    def ask(self, url: str) -> tuple[int, Any]:
        """Status and JSON of /api/classify?img=URL."""
        return _read(self.scorer.handle(scoring.Request(b"", query={"img": url}), ClassifyForm()))

    def score(self, inputs: Any, form: Form = PIPELINE) -> tuple[int, Any]:
        """Status and JSON of a request with `inputs`, or with a whole body."""
        body = inputs if isinstance(inputs, dict) else {"inputs": inputs}
        return _read(self.scorer.handle(scoring.Request(json.dumps(body).encode()), form))


def _read(response: scoring.Response) -> tuple[int, Any]:
    return response.status, json.loads(response.body)

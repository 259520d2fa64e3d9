"""A TLS server on loopback whose answers are bytes, or functions that write to the connection, and
the network that takes it for a public host's."""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import trustme

from onnxferry.scoring.urls import Policy
from onnxferry.scoring.urls.addresses import is_public
from onnxferry.scoring.urls.visit import Network

HERE = "127.0.0.1"
Answer = bytes | Callable[[socket.socket], None]


def response(
    body: bytes = b"", kind: str = "image/png", status: str = "200 OK", **headers: str
) -> bytes:
    """A whole answer. `headers` with _ for -."""
    told = {"Content-Type": kind, "Content-Length": str(len(body)), **headers}
    lines = [f"{name.replace('_', '-')}: {value}" for name, value in told.items() if value]
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
    ended: threading.Event = field(default_factory=threading.Event)  # a connection was cut
    stopped: threading.Event = field(default_factory=threading.Event)
    port: int = 0

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

    def _answer(self, connection: socket.socket) -> None:
        head = b""
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
            try:
                connection.sendall(whole)
                for _ in range(1000):
                    connection.sendall(data)
                    if self.stopped.wait(0.01):
                        return
            except OSError:
                self.ended.set()

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


def network(authority: trustme.CA, resolver: Callable[[str, int], Sequence[str]]) -> Network:
    """In which HERE, and no other address of this machine, is a public one."""

    def context() -> ssl.SSLContext:
        return ssl.create_default_context(cadata=authority.cert_pem.bytes().decode())

    return Network(resolver, lambda address: address == HERE or is_public(address), context)


def policy(port: int, **more: object) -> Policy:
    """That allows every host of example.com and example.org, at `port` and the usual one."""
    names = ("*.example.com", "*.example.org")
    hosts = (*names, *(f"{name}:{port}" for name in names))
    return Policy(**{"allow": True, "hosts": hosts, **more})  # type: ignore[arg-type]

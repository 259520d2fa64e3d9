"""An HTTP proxy on loopback, as companies have them: it tunnels TLS by CONNECT.

It leads every name to where `route` says, so that a client that reaches a name which this machine
cannot resolve has come through it.
"""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType

Address = tuple[str, int]


class ConnectProxy:
    """The proxy, from `with` to its end. `hosts` are those that were asked for; `refusal` is a
    status line with which it refuses all, such as "407 Proxy Authentication Required"."""

    def __init__(self, route: Callable[[str, int], Address]) -> None:
        self.hosts: list[str] = []
        self.refusal = ""
        self._route = route
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"

    def environment(self) -> dict[str, str]:
        """The variables by which clients find it; none passes it by."""
        return {"HTTPS_PROXY": self.url, "https_proxy": self.url, "NO_PROXY": "", "no_proxy": ""}

    def __enter__(self) -> ConnectProxy:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None
    ) -> None:
        self._server.close()

    def _accept(self) -> None:
        with suppress(OSError):  # the server was closed
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client, suppress(OSError):
            head = b""
            while b"\r\n\r\n" not in head:
                head += client.recv(4096)
            method, place, *_ = head.decode().split()
            host, _, port = place.rpartition(":")
            self.hosts.append(host)
            if self.refusal or method != "CONNECT":
                line = self.refusal or "405 Method Not Allowed"
                client.sendall(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\n\r\n".encode())
                return
            with socket.create_connection(self._route(host, int(port))) as server:
                client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
                threading.Thread(target=_pump, args=(server, client), daemon=True).start()
                _pump(client, server)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Pass on what comes, until an end."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)

"""A server for tests that answers by the route, at once, late, wrongly, or not at all: python
answering_server.py PORT. Only the standard library, for a quick start."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

SLOW = 0.02  # seconds of a request to /slow, one at a time


class Answers(BaseHTTPRequestHandler):
    """Answers by the route; counts what it is asked."""

    protocol_version = "HTTP/1.1"
    wbufsize = -1  # head and body in one packet: the second would wait for the client's word
    seen: Counter[str]
    keys: set[str]
    slow: threading.Lock

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.seen[self.path] += 1
        self.keys.add(self.headers.get("X-Key", ""))
        if self.path == "/drop":
            self.close_connection = True
            return
        if self.path == "/slow":
            with self.slow:
                time.sleep(SLOW)
        text = json.loads(body)["inputs"]
        if self.path == "/mixed" and self.seen[self.path] > 40:  # a text a time at first
            text = "another's"
        status = 500 if self.path == "/fails" else 200
        said = json.dumps([{"label": text, "score": 0.9}, {"label": "no", "score": 0.1}]).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
        self.wfile.flush()

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


def fresh() -> type[Answers]:
    """A handler that has seen nothing."""
    own = {"seen": Counter[str](), "keys": set[str](), "slow": threading.Lock()}
    return type("Fresh", (Answers,), own)


if __name__ == "__main__":
    with Path(os.environ["LOG"]).open("a") as log:
        log.write(os.environ["WHO"] + " ")
    if os.environ["WHO"] == "broken":
        sys.exit("it cannot start")
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), fresh()).serve_forever()

"""How a client calls the function app without onnxferry: the code of docs/deploy/functions.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.documents import snippet

PAGE = "docs/deploy/functions.md"
PYTHON = snippet(PAGE, "requests.post(")
CURL = snippet(PAGE, "curl --fail-with-body --silent")


class _App(BaseHTTPRequestHandler):
    """Answers whoever has the key and sends JSON."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        right = (
            self.headers["x-functions-key"] == "the key"
            and self.headers["Content-Type"] == "application/json"
        )
        self.send_response(200 if right else 401)
        self.end_headers()
        self.wfile.write(
            json.dumps({"answer": body["inputs"]["context"].split(" sings")[0]}).encode()
        )

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def environment() -> Iterator[dict[str, str]]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _App)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    own = {
        "URL": f"http://127.0.0.1:{server.server_port}/api/score",
        "FUNCTION_KEY": "the key",
        "NO_PROXY": "127.0.0.1",
    }
    yield {**os.environ, **own}
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("library", ["requests", "httpx"])
def test_python(environment: dict[str, str], library: str) -> None:
    code = PYTHON.replace("requests", library)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "{'answer': 'Dolly Parton'}\n"


def test_curl(environment: dict[str, str]) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    done = subprocess.run(
        ["bash", "-c", CURL], env=environment, capture_output=True, text=True, check=True
    )
    assert json.loads(done.stdout) == {"answer": "Dolly Parton"}

"""A server process for tests, started as a user starts it, and models whose answers tell which
request they are for."""

from __future__ import annotations

import hashlib
import json
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from onnxferry import scoring
from tests import tiny

ROOT = Path(__file__).parents[3]
HEADERS = {"Content-Type": "application/json"}
BACKENDS = {"threads": (), "workers": ("--workers", "2")}

_SLOW = """
import time
from onnxferry.scoring.wire import JSON

class Slow:
    accepts = (JSON,)

    def __init__(self, spec, runner, folder):
        pass

    def answer(self, payload):
        time.sleep(0.05)
        return payload["inputs"]
"""


@dataclass(frozen=True)
class Served:
    """A server that is ready."""

    process: subprocess.Popen[bytes]
    url: str
    log: Path

    @property
    def address(self) -> tuple[str, int]:
        parsed = httpx.URL(self.url)
        return parsed.host, parsed.port or 0

    def connect(self, sent: bytes = b"") -> socket.socket:
        made = socket.create_connection(self.address, timeout=30)
        made.sendall(sent)
        return made

    def metrics(self) -> dict[str, float]:
        """Each sample's value, of those with several labels the sum, by its name."""
        text = httpx.get(f"{self.url}/metrics", trust_env=False).text
        found: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found[sample.name] = found.get(sample.name, 0) + sample.value
        return found

    def predict(self, body: bytes) -> httpx.Response:
        url = f"{self.url}/predict"
        return httpx.post(url, content=body, headers=HEADERS, trust_env=False, timeout=60)


@contextmanager
def served(models: Mapping[str, Path], log: Path, *flags: str) -> Iterator[Served]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    named = [f"{name}={folder}" for name, folder in models.items()]
    command = [sys.executable, "-m", "onnxferry", "serve", *named, "--port", str(port), *flags]
    with log.open("wb") as sink:
        process = subprocess.Popen(command, cwd=ROOT, stdout=sink, stderr=sink)
    server = Served(process, f"http://127.0.0.1:{port}", log)
    try:
        _ready(server)
        yield server
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            finally:
                process.kill()


def _ready(server: Served) -> None:
    until = time.monotonic() + 120
    while time.monotonic() < until and server.process.poll() is None:
        try:
            if httpx.get(f"{server.url}/health", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError(server.log.read_text()[-2000:])


def slow_model(folder: Path) -> Path:
    """Answers with its input, 50 ms later."""
    tiny.text_classification(folder)
    (folder / "slow.py").write_text(_SLOW)
    files = {"slow.py": hashlib.sha256(_SLOW.encode()).hexdigest()}
    return tiny.write_spec(folder, scoring.ModelSpec("slow", "file:slow.py:Slow", files=files))


def marked_model(folder: Path) -> Path:
    """Its answer names each of the text's tokens."""
    tiny.feature_extraction(folder)
    rows = {word: (i, i * i) for word, i in tiny.VOCABULARY.items()}
    tiny.pooled_graph(folder / "model.onnx", rows, 2, pooled=False)
    return folder


def marked(number: int) -> tuple[bytes, Any]:
    """A request that no other number has, of 1 to 12 words, and its answer."""
    words, rest = list[str](), number
    while rest or not words:
        words.append(tiny.WORDS[rest % 28])  # plain words
        rest //= 28
    words += ["parton"] * (number % 9)
    ids = [tiny.VOCABULARY[word] for word in ("[CLS]", *words, "[SEP]")]
    rows = [[float(i), float(i * i)] for i in ids]
    return json.dumps({"inputs": " ".join(words)}).encode(), [rows]

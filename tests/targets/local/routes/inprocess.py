"""The server's application over tiny models, asked in process, or on loopback from a thread of this
process for clients that need a socket."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from fastapi.testclient import TestClient

from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import ThreadBackend


@contextmanager
def asked(models: dict[str, Path]) -> Iterator[TestClient]:
    """A client of a server of `models`, whose names are the keys."""
    with TestClient(application(ThreadBackend(models))) as client:
        yield client


@contextmanager
def listening(models: dict[str, Path]) -> Iterator[str]:
    """host:port of a server of `models`."""
    with socket.create_server(("127.0.0.1", 0)) as bound:
        config = uvicorn.Config(application(ThreadBackend(models)), log_config=None, ws="none")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, args=([bound],))
        thread.start()
        try:
            for _ in range(3000):
                if server.started:
                    break
                time.sleep(0.01)
            yield f"127.0.0.1:{bound.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(30)

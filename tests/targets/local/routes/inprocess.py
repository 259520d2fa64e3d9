"""The server's application over tiny models, asked in process: no socket, no second process."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fastapi.testclient import TestClient

from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import ThreadBackend


@contextmanager
def asked(models: dict[str, Path]) -> Iterator[TestClient]:
    """A client of a server of `models`, whose names are the keys."""
    with TestClient(application(ThreadBackend(models))) as client:
        yield client

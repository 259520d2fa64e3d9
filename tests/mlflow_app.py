"""The application of MLflow's scoring server, in this process: what `mlflow models serve` runs,
ready in a moment, for tests that ask many models and nothing of the process."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.package import Package


class MLflowApp:
    """Asked as a rehearsal's Host is."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def send(self, request: Request) -> Reply:
        """POST one request."""
        headers = {
            "Content-Type": request.content_type,
            "Accept": request.accept,
            "Content-Encoding": request.content_encoding,
        }
        given = {name: value for name, value in headers.items() if value}
        answer = self._client.post("/invocations", content=request.body, headers=given)
        return Reply(answer.status_code, answer.content, answer.headers["content-type"], 0.0)


@contextmanager
def serving(package: Package) -> Iterator[MLflowApp]:
    """The application with the model of a package. What it changes in the process is undone."""
    from mlflow.pyfunc import load_model, scoring_server  # slow to import
    from starlette.testclient import TestClient

    with (
        patch.dict(os.environ),
        patch.object(sys, "path", [*sys.path]),
        patch.object(scoring_server, "invocations", scoring_server.invocations),
        TestClient(scoring_server.init(load_model(str(package.path)))) as client,
    ):
        yield MLflowApp(client)

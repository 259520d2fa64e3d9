"""Ask a model of MLflow's in a folder, in a process of its own with this Python."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.infra.errors import InvokeFailed, NotHealthy
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.rehearse.processes import running, tail
from onnxferry.scripts.rehearse.runtime import HOSTS

_SIGN_IN = ("MLFLOW_TRACKING_", "DATABRICKS_")  # the model is given none
_LOADING = 120.0  # seconds to load MLflow and the model, besides the time of the requests


@dataclass(frozen=True)
class LocalModel:
    """Asks models with these environment variables; `timeout` is for all requests, in seconds."""

    variables: Mapping[str, str] = field(default_factory=dict)
    timeout: float = 600.0

    def __call__(self, folder: Path, requests: Sequence[Request]) -> list[Reply]:
        """The replies of the model in `folder`, in their order. Raises NotHealthy where it does not
        load, with the end of what it printed, and InvokeFailed where no answer comes in time."""
        with tempfile.TemporaryDirectory(prefix="onnxferry-") as temp:
            work = Path(temp)
            (work / "requests.json").write_text(json.dumps(list(map(_sent, requests))))
            self._run(folder, work)
            return [_reply(one) for one in json.loads((work / "replies.json").read_text())]

    def _run(self, folder: Path, work: Path) -> None:
        words = (HOSTS / "mlflow_app.py", folder, work / "requests.json", work / "replies.json")
        log = work / "log.txt"
        command = (sys.executable, *words)
        with running(command, env=self._environment(), cwd=work, log=log) as process:
            try:
                status = process.wait(self.timeout + _LOADING)
            except subprocess.TimeoutExpired as e:
                said = f"no answer within {self.timeout:g} s; raise --timeout"
                raise InvokeFailed(f"the model, asked here: {said}") from e
        if status or not (work / "replies.json").is_file():
            said = "MLflow could not load the model here, with this Python and libraries"
            raise NotHealthy(said).with_log(tail(log, 30))

    def _environment(self) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(_SIGN_IN)}
        return {**kept, "MLFLOW_DISABLE_TELEMETRY": "true", **self.variables}


def _sent(request: Request) -> dict[str, Any]:
    body = base64.b64encode(request.body).decode()
    return {"body": body, "content_type": request.content_type, "accept": request.accept}


def _reply(found: Mapping[str, Any]) -> Reply:
    body = base64.b64decode(found["body"])
    return Reply(found["status"], body, found["content_type"], found["seconds"])

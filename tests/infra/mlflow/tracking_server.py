"""MLflow's real server on loopback, with its proxy for artifacts: one for the whole session."""

from __future__ import annotations

import os
import shutil
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from onnxferry.scripts.rehearse.processes import running, tail
from tests.eventually import eventually


@contextmanager
def tracking_server(
    folder: Path, python: str | Path, database: Path | None = None
) -> Iterator[str]:
    """Its address. `database` is one with the tables of this MLflow, to copy, which takes ten
    seconds to make."""
    if database:
        shutil.copy(database, folder / "server.db")
    port = _free_port()
    words = (
        *("-m", "mlflow", "server", "--host", "127.0.0.1", "--port", port, "--workers", 1),
        *("--backend-store-uri", f"sqlite:///{folder / 'server.db'}"),
        *("--artifacts-destination", folder / "stored", "--serve-artifacts"),
    )
    log, kept = folder / "server.log", {k: os.environ[k] for k in ("PATH", "HOME")}
    environ = {**kept, "MLFLOW_DISABLE_TELEMETRY": "true"}
    environ["MLFLOW_SERVER_ENABLE_JOB_EXECUTION"] = "false"
    with running((python, *words), env=environ, cwd=folder, log=log) as process:
        url = f"http://127.0.0.1:{port}"
        up = eventually(lambda: process.poll() is not None or _healthy(url), 180)
        assert up and process.poll() is None, tail(log, 30)
        yield url


def _healthy(url: str) -> bool:
    try:
        with urlopen(f"{url}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except (URLError, OSError):
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])

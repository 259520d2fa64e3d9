"""The same with MLflow 2's client and its server, and with either of them and one of MLflow 3."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import mlflow_two
from tests.infra.mlflow.conftest import SERVER

pytestmark = pytest.mark.mlflow2
HERE = Path(__file__).parent


def passes(python: Path, server: Path, *names: str) -> None:
    """Run tests of this folder by `python` at a server of the Python `server`."""
    environ = {**os.environ, SERVER: str(server)}
    files = [str(HERE / f"{name}.py") for name in names]
    words = [str(python), "-m", "pytest", "-q", "-W", "ignore", "--tb", "short", *files]
    root = HERE.parents[2]
    done = subprocess.run(words, cwd=root, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]


def test_client_2_at_its_own_store() -> None:
    two = mlflow_two.python()
    passes(two, two, "test_flow", "test_ours", "test_lease")


def test_client_2_at_server_2() -> None:
    two = mlflow_two.python()
    passes(two, two, "test_server")


def test_client_2_at_server_3() -> None:
    passes(mlflow_two.python(), Path(sys.executable), "test_server")


def test_client_3_at_server_2() -> None:
    passes(Path(sys.executable), mlflow_two.python(), "test_server")

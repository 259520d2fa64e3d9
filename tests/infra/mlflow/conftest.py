"""A registry in an SQLite file, packages of tiny models, and the cloud of the endpoint "squad".

The file is MLflow's own store, whose empty tables are made once. Models are asked in this process,
by what the fetched version holds; that a process of its own does the same is in test_server.py.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.infra.apply import Terms, apply
from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_places import Place, place
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.config import DeployConfig
from onnxferry.infra.mlflow.cloud import MlflowCloud
from onnxferry.infra.mlflow.names import Names
from onnxferry.infra.plan import Plan
from onnxferry.infra.target_tables import MLflow
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.rows import RowScorer
from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.golden_check import Reply
from tests.infra.mlflow.tracking_server import tracking_server
from tests.infra.proved import proved_versions
from tests.infra.quiet import QuietReport

NAME = "squad"
SERVER = "TEST_MLFLOW_SERVER_PYTHON"  # of test_versions.py
FILES = {"logged model", "run"}  # kinds: of MLflow 3, and of 2


@dataclass
class Answers:
    """Answers as MLflow's server does, by the model in the folder; those of `wrong` models
    wrongly. `asked` are the versions that gave their golden answers."""

    wrong: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)

    def __call__(self, folder: Path, requests: Sequence[Request]) -> list[Reply]:
        scorer = scoring.load(folder / "artifacts" / "model")
        return [self._reply(scorer, request) for request in requests]

    def _reply(self, scorer: scoring.Scorer, request: Request) -> Reply:

        frame = json.loads(request.body)["dataframe_split"]
        table = dict(
            zip(frame["columns"], map(list, zip(*frame["data"], strict=True)), strict=True)
        )
        found = RowScorer(scorer).score(table)
        if scorer.spec.name in self.wrong:
            found = {**found, "answer": ["Bob"] * len(found["answer"])}
        self.asked.append(scorer.spec.name)
        rows = [dict(zip(found, row, strict=True)) for row in zip(*found.values(), strict=True)]
        return Reply(200, encode_json({"predictions": rows}), JSON, 0.0)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An SQLite file with MLflow's tables, to copy."""
    file = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    MlflowServer(sqlite(file)).create_database()
    return file


def sqlite(file: Path) -> Place:
    return place(f"sqlite:///{file}", "", "", {})


@pytest.fixture
def server(tmp_path: Path, empty_database: Path) -> MlflowServer:
    """A registry of its own, with nothing in it."""
    return MlflowServer(sqlite(Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))))


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def cloud(server: MlflowServer, answers: Answers) -> MlflowCloud:
    return at(server, answers)


def at(server: MlflowServer, answers: Answers | None, **changes: Any) -> MlflowCloud:
    settings = MLflow(**changes)
    return MlflowCloud(server, Names(NAME, settings.experiment), settings, answers)


def config(**changes: Any) -> DeployConfig:
    return DeployConfig(mlflow=MLflow(**changes))


@pytest.fixture(scope="session")
def versions(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Bundle]:
    """Three packages whose golden answers differ: "a", "b" and "c"."""
    return proved_versions("mlflow", tmp_path_factory, named=True)


@pytest.fixture(autouse=True)
def nothing_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """MLflow leaves nothing in the user's working directory."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"):
        monkeypatch.delenv(name, raising=False)
    yield
    assert list(folder.iterdir()) == []


def deploy(cloud: MlflowCloud, bundle: Bundle, *, keep_failed: bool = False) -> Plan:
    plan = cloud.plan_deploy(bundle)
    apply(plan, cloud, QuietReport(), Terms(keep_failed=keep_failed))
    return plan


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def stored(server_folder: Path) -> Path:
    """Where MLflow's real server puts the files."""
    return server_folder / "stored"


@pytest.fixture(scope="session")
def tracking_url(server_folder: Path, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of MLflow's real server, with its proxy for artifacts: of this Python's MLflow,
    or of that of the Python in SERVER."""
    other = os.environ.get(SERVER)
    tables = None if other else request.getfixturevalue("empty_database")
    with tracking_server(server_folder, other or sys.executable, tables) as url:
        yield url

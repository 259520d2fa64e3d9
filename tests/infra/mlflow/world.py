"""One registry for many flows: its state is put back before each, and compared after it; and its
client, of which any call may fail, or be the last."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from enum import Enum
from pathlib import Path
from typing import Any

from mlflow.exceptions import MlflowException

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.cloud import Bundle
from onnxferry.infra.mlflow.names import REPLACES
from tests.infra.mlflow.conftest import Answers, at, deploy, sqlite

_WRITES = ("create_", "set_", "delete_", "log_", "finalize_")
_LOST = "API request to http://mlflow failed with exception ('Connection aborted.', reset by peer)"


class Killed(BaseException):
    """The process ends here: nothing may catch it."""


class Fault(Enum):
    """What becomes of a call: the connection is lost before the server has it, or before its answer
    is here; or this process is killed when the server has done it."""

    DROPPED_BEFORE = "dropped before"
    DROPPED_AFTER = "dropped after"
    KILLED = "killed"


class Client:
    """MLflow's client. The write of number `at` has the `fault`; after a kill nothing arrives."""

    def __init__(self, client: Any) -> None:
        self._client = client
        self.at, self.fault, self.writes = -1, Fault.KILLED, list[str]()

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._client, name)
        return self._write(name, found) if name.startswith(_WRITES) else found

    def _write(self, name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def write(*words: Any, **options: Any) -> Any:
            number = len(self.writes)
            self.writes.append(name)
            if number != self.at:
                if self.at != -1 and number > self.at and self.fault is Fault.KILLED:
                    raise Killed
                return call(*words, **options)
            if self.fault is not Fault.DROPPED_BEFORE:
                call(*words, **options)
            raise Killed if self.fault is Fault.KILLED else MlflowException(_LOST)

        return write


class World:
    """A registry, and its states with nothing, "a", and "a" then "b" deployed."""

    def __init__(self, folder: Path, database: Path, bundles: dict[str, Bundle]) -> None:
        self.folder, self.bundles, self.answers = folder, bundles, Answers()
        self.file = Path(shutil.copy(database, folder / "mlflow.db"))
        self.server = MlflowServer(sqlite(self.file))
        self.client = Client(self.server._client)
        self.server.__dict__["_client"] = self.client
        self.cloud = at(self.server, self.answers)
        self.keep("")
        for upto in ("a", "ab"):
            deploy(self.cloud, bundles[upto[-1]])
            self.keep(upto)

    def keep(self, name: str) -> None:
        kept = self.folder / f"kept-{name}"
        kept.mkdir()
        _copy(self.file, kept / "mlflow.db")
        if self.artifacts.exists():
            shutil.copytree(self.artifacts, kept / "artifacts")

    def put_back(self, name: str) -> None:
        kept = self.folder / f"kept-{name}"
        _copy(kept / "mlflow.db", self.file)
        shutil.rmtree(self.artifacts, ignore_errors=True)
        if (kept / "artifacts").exists():
            shutil.copytree(kept / "artifacts", self.artifacts)
        self.answers.wrong.clear()
        self.client.at, self.client.writes = -1, []

    @property
    def artifacts(self) -> Path:
        return self.folder / "artifacts"

    def reached(self) -> Any:
        """What the state comes to, whatever numbers and ids MLflow gave."""
        state = self.cloud._read()
        digits = {number: state.version(number) for number in state.ours}
        versions = sorted(
            (digits[number], digits.get(one.tags.get(REPLACES, ""), ""))
            for number, one in state.ours.items()
        )
        aliases = {alias: digits.get(number, "?") for alias, number in state.aliases.items()}
        logged = sorted((one.tags["onnxferry_version"], one.ready) for one in state.logged)
        files = sorted(path.name for path in self.artifacts.rglob("*") if path.is_file())
        return state.is_ours, state.others, versions, aliases, logged, files


def _copy(source: Path, target: Path) -> None:
    """The whole database, also into one that is open."""
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as written:
        read.backup(written)

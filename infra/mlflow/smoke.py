"""Whether a registered version is the package that it says, and gives the golden answers.

A registry runs nothing. So the version is fetched, and asked in a process of its own here, where
MLflow loads it with the code that is in it; what that needs beside MLflow is what scoring needs.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onnxferry.infra.clients.mlflow import MlflowServer
from onnxferry.infra.clients.mlflow_types import Version
from onnxferry.infra.errors import NotFound, PublishFailed
from onnxferry.infra.mlflow.names import SHA256, Names
from onnxferry.infra.mlflow.state import read_state
from onnxferry.infra.smoke import golden_in, smoke
from onnxferry.scoring.manifest import SPEC_FILE, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply
from onnxferry.scripts.mlflow_requests import mlflow_golden, mlflow_request
from onnxferry.scripts.package.archive import fingerprint
from onnxferry.scripts.package.mlflow import LAYOUT

# the replies of the model in a folder to requests, asked one after the other
Ask = Callable[[Path, Sequence[Request]], list[Reply]]


@dataclass(frozen=True)
class SmokeTest:
    """Fetches versions of the registered model, and asks them by `ask`."""

    server: MlflowServer
    names: Names
    ask: Ask

    def run(self, version: Version) -> None:
        """Ask the golden requests of a version. Raises PublishFailed where its files are not the
        package's, NotHealthy or WrongAnswer."""
        where = f"{self.names.where}, version {version.number}"
        with self.fetched(version) as folder:
            spec = folder / LAYOUT.model / SPEC_FILE
            golden = golden_in(spec.read_bytes(), where)
            known = mlflow_golden(ModelSpec.read(spec.parent), golden)
            replies = iter(self.ask(folder, [one.request for one in known.all]))
            smoke(known, lambda request: next(replies), where)

    def invoke(self, version: Version, request: Request) -> Reply:
        """The reply of a version to one request of our wire, or of MLflow's."""
        with self.fetched(version) as folder:
            spec = ModelSpec.read(folder / LAYOUT.model)
            (reply,) = self.ask(folder, [mlflow_request(spec, request)])
        return reply

    @contextmanager
    def fetched(self, version: Version) -> Iterator[Path]:
        """The files of a version, compared with the hash of the package that it was made of."""
        with tempfile.TemporaryDirectory(prefix="onnxferry-") as temp:
            folder = Path(temp) / "model"
            folder.mkdir()
            self._download(version, folder)
            if fingerprint(folder) != version.tags.get(SHA256):
                raise PublishFailed(
                    f"{self.names.where}, version {version.number}: its files are not those of the"
                    " package that it was made of; somebody has changed them. Delete that version"
                    " there, and deploy again"
                )
            yield folder

    def _download(self, version: Version, folder: Path) -> None:
        found = read_state(self.server, self.names).files_of(version)
        if found is None:
            raise NotFound(
                f"{self.names.where}, version {version.number}: its files are gone from experiment"
                f" {self.names.experiment} (or [mlflow] names another one than it was logged in);"
                " delete the version, and deploy again"
            )
        self.server.download(found, folder)

"""What a job of a batch endpoint does: mini-batches of the input's files go to the deployment's
code, and all rows that come back are appended to one file, in no order."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxferry.infra.azureml.batch.places import KNOWN
from onnxferry.infra.batch_files import format_of
from onnxferry.scoring.codecs import JSONLINES
from onnxferry.scoring.rows.batch_form import BATCH, is_refused
from onnxferry.scoring.wire import Request
from tests.fakes.azure.blob import Blob
from tests.fakes.azure.store import Resource

if TYPE_CHECKING:
    from tests.fakes.azure.providers.batch import BatchEndpoints

JOBS = "Microsoft.MachineLearningServices/workspaces/jobs"
STATES = ("NotStarted", "Queued", "Preparing", "Running", "Finalizing", "Completed")
ENDED = frozenset({"Completed", "Failed", "Canceled"})
_URI = re.compile(r"azureml://(?:subscriptions/.+/)?datastores/(?P<store>[^/]+)/paths/(?P<path>.*)")
_DRIVER = """
import json, sys
sys.path.insert(0, sys.argv[1])
import importlib
script = importlib.import_module(sys.argv[2])
script.init()
with open(sys.argv[3], "w") as answers:  # stdout is the log's
    for batch in json.load(sys.stdin):
        rows = script.run(batch)
        assert rows is not None
        for row in rows:
            print(row, file=answers)
"""  # as the service's driver: init once, run for each mini-batch, a line for each row


@dataclass
class Run:
    """The work of one job."""

    batch: BatchEndpoints
    job: Resource

    def work(self) -> bool:
        """Read, score, append. Whether that succeeded: an output file that is there is not
        overwritten."""
        (source,), (answers,) = (
            self.job["asked"][key].values() for key in ("inputData", "outputData")
        )
        files = self._input(source)
        container, folder = self._place(answers["uri"])
        out = f"{folder.rstrip('/')}/{self._deployment['outputFileName']}"
        if out in container or not files:
            return False
        self.batch.runs.append(sorted(files))
        rows = list(self._rows(files))
        rows.sort(key=lambda row: hashlib.sha256(row.encode()).digest())
        container[out] = Blob("".join(f"{row}\n" for row in rows).encode())
        return True

    @property
    def _deployment(self) -> dict[str, Any]:
        found = self.batch.ml.azure.store.get(self.job["deployment"])
        assert found
        return dict(found["properties"])

    def _input(self, source: dict[str, Any]) -> dict[str, bytes]:
        """The files, by their path below the input."""
        container, path = self._place(source["uri"])
        if source["jobInputType"] == "UriFile":
            return {path.rpartition("/")[2]: container[path].data or b""}
        folder = path if not path or path.endswith("/") else f"{path}/"
        found = {name: blob for name, blob in container.items() if name.startswith(folder)}
        return {name[len(folder) :]: blob.data or b"" for name, blob in found.items()}

    def _place(self, uri: str) -> tuple[dict[str, Blob], str]:
        match = _URI.fullmatch(uri)
        assert match, uri
        space = self.job["id"].rpartition("/jobs/")[0]
        found = self.batch.ml.azure.store.get(f"{space}/datastores/{match['store']}")
        assert found
        facts = found["properties"]
        account = self.batch.ml.azure.blobs.accounts[facts["accountName"]]
        return account[facts["containerName"]], match["path"]

    def _rows(self, files: dict[str, bytes]) -> Iterator[str]:
        rows = self._by_code(files) if self.batch.real else self._by_scorer(files)
        for row in rows:
            found = json.loads(row)
            trouble = self.batch.trouble.get(found["file"].rpartition("/")[2])
            if trouble != "lost" and not (trouble == "cut" and found["row"] == 1):
                yield row

    def _by_scorer(self, files: dict[str, bytes]) -> Iterator[str]:
        """What the package's script comes to, in this process."""
        scorer = self.batch.ml._scorer(self._deployment["model"]["assetId"])
        for name, data in files.items():
            if kind := format_of(name, KNOWN):
                request = Request(data, kind.content_type, JSONLINES[0])
                lines = scorer.handle(request, BATCH).body.split(b"\n")
                for i, answer in enumerate(map(json.loads, lines)):
                    refused = is_refused(answer)
                    said = {"answer": None if refused else answer}
                    said |= {"error": answer["error"] if refused else None}
                    yield json.dumps({"file": name, "row": i + 1, **said})

    def _by_code(self, files: dict[str, bytes]) -> Iterator[str]:
        """By the registered script, in a process of its own."""
        facts, ml = self._deployment, self.batch.ml
        code = facts["codeConfiguration"]
        assets = {
            "code": ("codeUri", code["codeId"]),
            "model": ("modelUri", facts["model"]["assetId"]),
        }
        with tempfile.TemporaryDirectory() as kept:
            folder = Path(kept)
            for kind, (key, id_) in assets.items():
                registered = ml.azure.store.get(id_) or {}
                _write(folder / kind, ml.assets.files(registered, key))
            _write(folder / "input", files)
            paths = [str(folder / "input" / name) for name in files]
            size = facts.get("miniBatchSize") or 10
            batches = [paths[i : i + size] for i in range(0, len(paths), size)]
            yield from self._driven(folder, batches, code["scoringScript"])

    def _driven(self, folder: Path, batches: list[list[str]], script: str) -> Iterator[str]:
        variables = self._deployment.get("environmentVariables") or {}
        own = {"AZUREML_MODEL_DIR": str(folder), "PATH": "/usr/bin:/bin", **variables}
        own["AZUREML_BI_INPUT_ROOT"] = str(folder / "input")
        rows = folder / "rows"
        words = [sys.executable, "-c", _DRIVER, str(folder / "code"), Path(script).stem, str(rows)]
        done = subprocess.run(
            words, input=json.dumps(batches), env=own, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return iter(rows.read_text(encoding="utf-8").splitlines())


def _write(folder: Path, files: dict[str, bytes]) -> None:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

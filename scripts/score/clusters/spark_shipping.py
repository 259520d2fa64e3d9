"""What Spark's workers are sent: the code and the model."""

from __future__ import annotations

import atexit
import functools
import hashlib
import shutil
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onnxferry import scoring, system
from onnxferry.scripts.package import archive
from onnxferry.scripts.package.layout import Entry, tree
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.scripts.score.clusters.spark_failures import reason
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"  # for whose Python a model is checked
_WORKER = (
    *("__init__.py", "arrow_batches.py", "clusters/__init__.py"),
    *("clusters/spark_lines.py", "clusters/spark_worker.py"),
)
_MODEL_LEVEL = 1  # weights hardly shrink, and each worker's machine has to inflate them


def connected(session: SparkSession) -> bool:
    """Whether the session is a client of Spark Connect, which has no SparkContext."""
    return ".connect." in f"{type(session).__module__}."


def ship(session: SparkSession, model: CheckedModel, name: str) -> str:
    """Send the code and the model with the session; what Work calls the model, `name`. Sent once
    more they are what is there. Raises UsageError where Spark takes neither."""
    code = _packed(f"onnxferry-{_hash(tuple(_code()))}", tuple(_code()))
    weights = _packed(name, _files(model), _MODEL_LEVEL)
    try:
        if connected(session):
            session.addArtifacts(str(code), pyfile=True)
            session.addArtifacts(f"{weights}#{name}", archive=True)
        else:
            session.sparkContext.addPyFile(str(code))
            session.sparkContext.addArchive(f"{weights}#{name}")
    except Exception as e:  # of Py4J, gRPC, or a platform that forbids it
        advice = (
            "where workers have onnxferry and reach the model, call score_dataframe(send=False)"
        )
        raise UsageError(f"Spark does not send code and model: {reason(e)}; {advice}") from e
    return name


def _code() -> Iterator[Entry]:
    """What spark_worker.py imports of this project."""
    score = Path(__file__).parents[1]
    yield Entry("onnxferry/__init__.py", Path(system.__file__).parents[1] / "__init__.py")
    yield Entry("onnxferry/scripts/__init__.py", score.parent / "__init__.py")
    yield from (Entry(f"onnxferry/scripts/score/{name}", score / name) for name in _WORKER)
    yield from tree(Path(scoring.__file__).parent, "onnxferry/scoring/")


def version(model: CheckedModel) -> str:
    """The model's name and a hash of its files."""
    return f"{model.spec.name}-{_hash(_files(model))}"


def _files(model: CheckedModel) -> list[Entry]:
    return [Entry(name, model.folder / name) for name in model.files]


def _hash(entries: Sequence[Entry]) -> str:
    listed = "".join(f"{m.sha256}  {m.path}\n" for m in archive.members(entries))
    return hashlib.sha256(listed.encode()).hexdigest()[:12]


def _packed(name: str, entries: Sequence[Entry], level: int = 4) -> Path:
    """A zip that is kept until this process ends: workers fetch it when they start."""
    path = _folder() / f"{name}.zip"
    if not path.exists():
        archive.write_zip(entries, path, level)
    return path


@functools.cache
def _folder() -> Path:
    made = Path(tempfile.mkdtemp(prefix="onnxferry-spark-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made

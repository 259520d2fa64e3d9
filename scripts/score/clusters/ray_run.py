"""`onnxferry score --engine ray`: Parquet files are scored by Ray Data, some files at a time, into
an output with the records and the promises of spark_run. The model goes along; onnxferry is on
every node."""

from __future__ import annotations

import math
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import dataset, fs

from onnxferry.scoring import ScoringError, load
from onnxferry.scoring.engine_options import PREFIX
from onnxferry.scoring.rows import ERROR, RowScorer, columns
from onnxferry.scripts.package import model as model_folder
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.scripts.score import formats
from onnxferry.scripts.score.arrow_batches import ColumnMapping, output_schema, score_batch
from onnxferry.scripts.score.clusters.chunked_output import (
    Chunk,
    Output,
    check_apart,
    identity,
    outcome,
)
from onnxferry.scripts.score.clusters.spark_shipping import HERE, version
from onnxferry.scripts.score.clusters.stored_files import StoredFile, groups
from onnxferry.scripts.score.job import Outcome, ScoreJob
from onnxferry.system.console import stage
from onnxferry.system.errors import BatchScoringError, FerryError, UsageError

CHUNK = 32_000_000  # bytes of input for each core
_ROWS = 1024  # of a batch


class Scores:
    """In an actor of Ray: the model, opened once with one thread, and its answers to batches."""

    def __init__(
        self, packed: bytes, parameters: Mapping[str, Any], mapping: ColumnMapping
    ) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="onnxferry-ray-")
        with zipfile.ZipFile(BytesIO(packed)) as archive:
            archive.extractall(self._folder.name)
        scorer = load(self._folder.name, {f"{PREFIX}THREADS": "1"})
        self._rows, self._mapping = RowScorer(scorer, parameters), mapping

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows with their answers."""
        schema = output_schema(self._rows.columns, table.schema, self._mapping)
        batches = table.combine_chunks().to_batches()
        scored = [score_batch(self._rows, batch, self._mapping) for batch in batches]
        return pa.Table.from_batches(scored, schema)


class Files:
    """The file systems of Arrow: a disk that all nodes share, s3://, gs://, hdfs://."""

    def found(self, path: str) -> list[StoredFile]:
        """A Parquet file, or those below a folder, sorted."""
        system, at = _at(path)
        below = fs.FileSelector(at, allow_not_found=True, recursive=True)
        top = system.get_file_info(at)
        infos = [top] if top.is_file else system.get_file_info(below)
        files = [f for f in infos if f.is_file and f.extension == "parquet"]
        inside = [f for f in files if not _hidden(f.path.removeprefix(at))]
        return sorted(StoredFile(f.path, f.size, int((f.mtime_ns or 0) / 1e6)) for f in inside)

    def names(self, folder: str) -> list[str]:
        """What is in a folder, sorted; nothing where there is none."""
        system, at = _at(folder)
        listed = system.get_file_info(fs.FileSelector(at, allow_not_found=True))
        return sorted(info.base_name for info in listed)

    def full(self, path: str) -> str:
        """The path on its file system, and which that is."""
        system, at = _at(path)
        return f"{system.type_name}:{at}"

    def read(self, path: str) -> str:
        """A file's text."""
        system, at = _at(path)
        with system.open_input_stream(at) as stream:
            return bytes(stream.read()).decode("utf-8")

    def write(self, path: str, text: str) -> None:
        """Write a file, and the folder that it is in."""
        system, at = _at(path)
        system.create_dir(at.rpartition("/")[0])
        with system.open_output_stream(at) as stream:
            stream.write(text.encode("utf-8"))

    def move(self, path: str, to: str) -> None:
        """Rename within a file system."""
        system, at = _at(path)
        system.move(at, _at(to)[1])

    def remove(self, path: str) -> None:
        """Remove a file, or a folder with all that is in it, if it is there."""
        system, at = _at(path)
        if (found := system.get_file_info(at)).is_file:
            system.delete_file(at)
        elif found.type == fs.FileType.Directory:
            system.delete_dir(at)


def run(job: ScoreJob) -> Outcome:
    """Score on the cluster at `job.master` (an address as ray.init takes it; else one of this
    machine) what is not scored yet. Raises UsageError for input, columns, parameters or a model
    that do not fit, and another run's output; BatchScoringError where the cluster fails."""
    began, storage = time.monotonic(), Files()
    check_apart(map(storage.full, job.inputs), storage.full(job.output))
    _check_systems(job.inputs)
    checked = model_folder.check(job.model, HERE)
    files = sorted({file for name in job.inputs for file in storage.found(name)})
    if not files:
        raise UsageError(
            f"{', '.join(job.inputs)[:200]}: no .parquet file; --engine ray reads those"
        )
    _check_columns(job, checked, files)
    output = Output(storage, job.output)
    this = identity(job, files, version(checked), job.mapping)
    with _connected(job):
        _try(job, _packed(checked))
        resumed = output.open(this, replace=job.overwrite)
        _score(job, _packed(checked), files, output)
    return outcome(output, resumed, job, time.monotonic() - began)


def _check_systems(inputs: Sequence[str]) -> None:
    """Raises UsageError for inputs that Arrow reads by more than one file system: Ray takes one."""
    first, *others = inputs
    if apart := [name for name in others if _at(name)[0] != _at(first)[0]]:
        raise UsageError(f"{first} and {apart[0]} are on two file systems; score them apart")


def _check_columns(job: ScoreJob, checked: CheckedModel, files: Sequence[StoredFile]) -> None:
    """By the first file: Raises UsageError for what does not fit."""
    if formats.of(job.output.rstrip("/")) not in ("", "Parquet"):
        raise UsageError(
            f"{job.output}: --engine ray writes a folder of Parquet; give it no suffix"
        )
    system, _ = _at(job.inputs[0])
    try:
        schema = dataset.dataset([files[0].path], filesystem=system).schema
        output_schema(columns(checked.spec, job.parameters), schema, job.mapping)
    except (ScoringError, pa.ArrowInvalid) as e:
        raise UsageError(f"{files[0].path}: {e}") from e


def _packed(checked: CheckedModel) -> bytes:
    held = BytesIO()
    with zipfile.ZipFile(held, "w") as archive:
        for name in checked.files:
            archive.write(checked.folder / name, name)
    return held.getvalue()


@contextmanager
def _connected(job: ScoreJob) -> Iterator[None]:
    import ray

    own = not ray.is_initialized()
    with stage(f"connect to Ray ({job.master or 'on this machine'})"):
        if own:
            ray.init(job.master or None, include_dashboard=False, log_to_driver=False)
    try:
        yield
    except FerryError:
        raise
    except Exception as e:  # Ray has many classes for these
        raise BatchScoringError(f"Ray could not score the input: {_reason(e)}") from e
    finally:
        if own:
            ray.shutdown()


def _try(job: ScoreJob, packed: bytes) -> None:
    """Have a worker open the model and refuse a row, before a long job does."""
    import ray

    def opened() -> None:
        rows = Scores(packed, job.parameters, job.mapping)._rows
        rows.score({column.name: [None] for column in rows.columns.inputs}, keep_errors=True)

    with stage("open the model in a worker of Ray"):
        try:
            ray.get(ray.remote(opened).remote())
        except Exception as e:
            advice = "every node needs onnxferry, onnxruntime and pyarrow"
            raise UsageError(f"Ray's worker cannot score: {_reason(e)}; {advice}") from e


def _score(job: ScoreJob, packed: bytes, files: Sequence[StoredFile], output: Output) -> None:
    import ray

    cores = max(1, int(ray.cluster_resources().get("CPU", 1)))
    system, _ = _at(job.inputs[0])
    done = {path for chunk in output.chunks() for path in chunk.files}
    left = [file for file in files if file.path not in done]
    for chunk in groups(left, job.chunk_mb * 1e6 or CHUNK * cores):
        paths = [file.path for file in chunk]
        with stage(f"score {len(paths)} file(s)"):
            rows = dataset.dataset(paths, filesystem=system).count_rows()
            blocks = max(math.ceil(rows / 20_000), min(3 * cores, math.ceil(rows / 256)), 1)
            given = ray.data.read_parquet(paths, filesystem=system, override_num_blocks=blocks)
            staged = output.stage()
            scored = given.map_batches(
                Scores,
                fn_constructor_args=(packed, job.parameters, job.mapping),
                batch_format="pyarrow",
                batch_size=_ROWS,
                compute=ray.data.ActorPoolStrategy(min_size=1, max_size=cores),
                num_cpus=1,
            )
            to, at = _at(staged)
            scored.write_parquet(at, filesystem=to)
            refused = _refused(staged, f"{job.mapping.prefix}{ERROR}")
            if rows != refused.total():
                output.discard(staged)
                raise BatchScoringError(f"{rows} rows were read, {refused.total()} written")
            del refused[""]
            output.keep(Chunk(tuple(paths), staged, rows, dict(refused)))
    output.complete()


def _refused(folder: str, error: str) -> Counter[str]:
    """Rows by the code of their error, "" for none, as they are in the files."""
    system, at = _at(folder)
    if system.get_file_info(at).type != fs.FileType.Directory:
        return Counter({"": 0})
    found = dataset.dataset(at, filesystem=system, format="parquet")
    counts: Counter[str] = Counter({"": 0})
    for batch in found.to_batches(columns=[error]):
        counts.update((text or "").partition(":")[0] for text in batch.column(0).to_pylist())
    return counts


def _reason(error: BaseException) -> str:
    """The line that the worker's traceback ends by."""
    lines = [line for line in str(error).splitlines() if line.strip()]
    return lines[-1].strip() if lines else type(error).__name__


def _at(path: str) -> tuple[Any, str]:
    """A path's file system, and where it is there. Raises UsageError for one that Arrow does not
    have."""
    try:
        system, at = fs.FileSystem.from_uri(path if "://" in path else str(Path(path).resolve()))
    except pa.ArrowInvalid as e:
        raise UsageError(f"{path}: {e}") from e
    return system, str(at).rstrip("/")


def _hidden(path: str) -> bool:
    return any(part.startswith(("_", ".")) for part in path.split("/"))

"""The engine of `onnxferry score` that is this machine: rows are read, scored and written a batch
at a time, and kept a part at a time, so that memory does not grow with the input, and a run that
ends early goes on where it was."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
from rich.markup import escape

from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE, ModelSpec
from onnxferry.scoring.rows import ERROR, Columns, columns
from onnxferry.scripts.score import checkpoint, formats, inputs
from onnxferry.scripts.score.arrow_batches import ColumnMapping, output_schema
from onnxferry.scripts.score.checkpoint import Checkpoint
from onnxferry.scripts.score.formats.reading import Rows, Survey
from onnxferry.scripts.score.formats.writing import Writer
from onnxferry.scripts.score.inputs import Input
from onnxferry.scripts.score.job import Outcome, ScoreJob
from onnxferry.scripts.score.processes import answered
from onnxferry.scripts.score.row_stream import batches, most_rows, surveyed
from onnxferry.system import console
from onnxferry.system.console import Progress, stage
from onnxferry.system.errors import BatchScoringError, UsageError
from onnxferry.system.files import put
from onnxferry.system.hashes import sha256
from onnxferry.system.versions import own_version

SECONDS = 10.0  # a part's work, which is what a kill costs


def run(job: ScoreJob, clock: Callable[[], float] = time.monotonic) -> Outcome:
    """Score the rows of the job's files into its output. Raises UsageError for what is wrong before
    a row is scored, BatchScoringError where a run cannot end well; what it did is kept."""
    began = clock()
    output = Path(job.output)
    writer = _writer(output, overwrite=job.overwrite)
    found = inputs.find(job.inputs)
    inputs.check_output(output, found, job.inputs)
    marks = _marks(job, found)
    work = _surveyed(job, found, writer)
    folder = output.with_name(f"{output.name}.partial")
    with checkpoint.opened(folder, marks, anew=job.overwrite) as kept, _told(kept):
        before = kept.rows
        with stage(f"score {work.rows:,} row(s)") as progress:
            _score(work, kept, clock, progress)
        if kept.rows != work.rows:
            what = f"{work.rows:,} rows were counted in the input, and {kept.rows:,} were scored"
            raise BatchScoringError(f"{what}: it has changed. Remove {folder} and run again")
        with stage(f"write {output}"), _removed_on_failure(folder / output.name) as fresh:
            work.writer.joined(fresh, kept.files(), work.schema)
            put(fresh, output)
    return Outcome(job.output, work.rows, kept.rows, kept.refused, clock() - began, before)


@contextmanager
def _removed_on_failure(file: Path) -> Iterator[Path]:
    """On a disk that is full it would be in the way of the next run."""
    try:
        yield file
    except BaseException:
        file.unlink(missing_ok=True)
        raise


@dataclass(frozen=True)
class _Work:
    """What is known before a row is scored."""

    job: ScoreJob
    found: Input
    survey: Survey
    known: Columns
    mapping: ColumnMapping
    schema: pa.Schema
    writer: Writer

    @property
    def rows(self) -> int:
        return sum(self.survey.rows)

    def behind(self, skip: int) -> Iterator[Rows]:
        """The rows but the first `skip`."""
        return batches(self.found, self.survey, self.job.text, skip, most_rows(self.known))


def _writer(output: Path, *, overwrite: bool) -> Writer:
    writer = formats.writer(output.name)
    if writer is None:
        raise UsageError(f"{output}: OUTPUT is one file, whose suffix is {formats.suffixes()}")
    if output.is_dir():
        raise UsageError(f"{output}: is a folder; OUTPUT is one file")
    if output.exists() and not overwrite:
        raise UsageError(f"{output}: exists; give another OUTPUT, or --overwrite to replace it")
    return writer


def _surveyed(job: ScoreJob, found: Input, writer: Writer) -> _Work:
    mapping = replace(job.mapping, dropped=formats.READERS[found.format].dropped)
    known = columns(ModelSpec.read(job.model), job.parameters)
    others = f", {found.others:,} of no known format passed over" if found.others else ""
    with stage(f"read {len(found.files):,} file(s) of {found.format}{others}"):
        survey = surveyed(found, job.text, known, mapping)
    try:
        schema = output_schema(known, survey.schema, mapping)
    except ScoringError as e:
        raise UsageError(f"{found.files[0].path}: {e} (--column, --prefix)") from e
    try:
        writer.check(schema)
    except pa.ArrowException as e:
        other = "another format of OUTPUT, like .parquet or .jsonl, may hold it"
        raise UsageError(f"{job.output}: cannot hold the input's columns: {e}; {other}") from e
    return _Work(job, found, survey, known, mapping, schema, writer)


def _marks(job: ScoreJob, found: Input) -> dict[str, str]:
    """What makes a run another one, by the words for it."""
    model = f"{sha256(job.model / SPEC_FILE)} {(job.model / MODEL_FILE).stat().st_size}"
    return {
        "input": found.fingerprint(),
        "model": model,
        "parameters (--set)": json.dumps(dict(job.parameters), sort_keys=True),
        "columns (--column, --prefix)": json.dumps(asdict(job.mapping), sort_keys=True),
        "form of text (--encoding, --delimiter, --header)": json.dumps(asdict(job.text)),
        "version of onnxferry": own_version(),
    }


@contextmanager
def _told(kept: Checkpoint) -> Iterator[None]:
    """Say what was done before, and where the block fails, what is kept."""
    where = escape(str(kept.folder))
    if kept.rows:
        console.err.print(f"goes on behind the {kept.rows:,} rows in {where}")
    try:
        yield
    except BaseException:
        if rows := Checkpoint(kept.folder).rows:  # as the disk has them
            again = "run the same command again to go on"
            console.err.print(f"{rows:,} rows are kept in {where}; {again}")
        raise


def _score(work: _Work, kept: Checkpoint, clock: Callable[[], float], progress: Progress) -> None:
    """Write parts, each of SECONDS, until no rows are left."""
    stream = answered(work.job, work.mapping, work.behind(kept.rows))
    at = _Progress(work, clock, clock(), kept.rows, progress)
    try:
        with closing(stream) as scored:
            for first in scored:
                _write_part(work, kept, _until(clock, first, scored), at)
    except ScoringError as e:
        raise UsageError(f"{e} (--set)") from e


def _write_part(
    work: _Work, kept: Checkpoint, scored: Iterator[pa.RecordBatch], at: _Progress
) -> None:
    file = kept.next_file("".join(Path(work.job.output.lower()).suffixes[-2:]))
    rows, refused = 0, Counter[str]()
    with work.writer.part(file, work.schema) as write:
        for batch in scored:
            write(batch)
            rows += batch.num_rows
            refused.update(_refused(batch, work.mapping.prefix + ERROR))
            at.tell(kept.rows + rows)
    kept.finish(file, rows, refused)


def _until(
    clock: Callable[[], float], first: pa.RecordBatch, more: Iterator[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """`first`, and more until a part is full."""
    ends = clock() + SECONDS
    yield first
    while clock() < ends and (batch := next(more, None)) is not None:
        yield batch


def _refused(batch: pa.RecordBatch, error: str) -> list[str]:
    """The codes of the rows that have no answer."""
    errors = batch.column(error).drop_null().to_pylist()
    return [text.partition(":")[0] for text in errors]


@dataclass(frozen=True)
class _Progress:
    """How far a run is. `before`: the rows that it began behind."""

    work: _Work
    clock: Callable[[], float]
    began: float
    before: int
    say: Progress

    def tell(self, done: int) -> None:
        """That so many rows are scored."""
        total = self.work.rows
        rate = (done - self.before) / max(self.clock() - self.began, 1e-9)
        left = (total - done) / max(rate, 1e-9)
        time_left = f"{left / 60:,.0f} min" if left >= 90 else f"{left:.0f} s"
        share = 100 * done // max(total, 1)
        self.say(f"{done:,} of {total:,} ({share}%), {rate:,.1f}/s, {time_left} left")

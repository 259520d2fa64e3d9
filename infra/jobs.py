"""Batch jobs: what is asked of them, what they read and write, and what a cloud offers for them.

A job reads files in place and writes an answer file for each, so which files have none is what a
further run has to do: there is no other record of progress.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from onnxferry.infra.cloud import Bundle, Cloud
from onnxferry.infra.plan import Plan
from onnxferry.infra.waiting import Clock
from onnxferry.system.console import Progress

if TYPE_CHECKING:
    from onnxferry.infra.batch_check import Sample


@dataclass(frozen=True)
class DataFormat:
    """A kind of file, known by its suffix. `rows`: each line, or row, is an item of its own; else
    the file is one."""

    name: str
    content_type: str
    suffixes: tuple[str, ...]
    rows: bool = True


JSON_LINES = DataFormat("JSON Lines", "application/jsonlines", (".jsonl", ".ndjson", ".jsonlines"))
# with a charset, so that a container hands the bytes over as they are
CSV = DataFormat("CSV", "text/csv; charset=utf-8", (".csv",))
_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
PICTURES = DataFormat("pictures", "image/x-image", _SUFFIXES, rows=False)
FORMATS = (JSON_LINES, CSV, PICTURES)
PARQUET = DataFormat("Parquet", "application/vnd.apache.parquet", (".parquet",))  # of AzureML alone


@dataclass(frozen=True)
class BatchRequest:
    """What a user asks for: the files at `input` scored into `output`, both addresses of the
    cloud's storage, on so many `instances`. `instance_type` may be "" for the target's own;
    `low_priority` ones may be taken away."""

    input: str
    output: str
    instance_type: str = ""
    instances: int = 1
    overwrite: bool = False
    low_priority: bool = False


@dataclass(frozen=True)
class DataFile:
    """One input: its `name` below the input, and its `size` in bytes."""

    name: str
    size: int


@dataclass(frozen=True)
class Dataset:
    """The files of one `format` below `place`, in order, and the names of those that have an answer
    file. `others` are files of no known format, `empty` those without a byte: both are passed over.
    """

    place: str
    format: DataFormat
    files: tuple[DataFile, ...]
    done: frozenset[str] = frozenset()
    others: int = 0
    empty: int = 0

    @property
    def missing(self) -> tuple[DataFile, ...]:
        """The files without an answer file."""
        return tuple(file for file in self.files if file.name not in self.done)

    def anew(self) -> Dataset:
        """As if nothing had an answer."""
        return replace(self, done=frozenset())


@dataclass(frozen=True)
class JobStatus:
    """A job now. `state` is the platform's own word; `done` of `total` files have answers; `reason`
    says why it failed, with what its log says."""

    name: str
    state: str
    running: bool
    succeeded: bool = False
    done: int = 0
    total: int = 0
    reason: str = ""
    details: Mapping[str, str] = field(default_factory=dict)


class BatchJobs(Cloud, Protocol):
    """A cloud that scores files. All raise CloudError, and UsageError for what is asked."""

    @property
    def clock(self) -> Clock:
        """The time between two questions."""

    def dataset(self, asked: BatchRequest) -> Dataset:
        """What there is to do. Raises UsageError where no file has a known format, or several."""

    def start_of(self, dataset: Dataset, file: DataFile, size: int) -> bytes:
        """The first `size` bytes of a file."""

    def plan_batch(self, bundle: Bundle, asked: BatchRequest, sample: Sample) -> Plan:
        """Steps that end with a job at work on what is missing: the last is that job, reused where
        one is at work already."""

    def plan_cancel(self, asked: BatchRequest) -> Plan:
        """Steps that stop the jobs at work on what is asked. Raises NotFound where none is."""

    def job(self, name: str, asked: BatchRequest) -> JobStatus:
        """How far a job is."""

    def collected(self, status: JobStatus, asked: BatchRequest, progress: Progress) -> JobStatus:
        """The status of a job that has ended, with its answer files in place."""

    def fetch(self, asked: BatchRequest, file: DataFile, path: Path) -> None:
        """Write the answer file of an input to `path`."""

    def finish(self, asked: BatchRequest) -> None:
        """Take back what only a job needs, where none is at work on this any more."""

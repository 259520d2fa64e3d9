"""The first rows of a batch, scored here by the model directory's own scorer, before anything is
paid: does the model take them, and how long and how large are answers?"""

from __future__ import annotations

import csv
import io
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from onnxferry.infra.jobs import CSV, JSON_LINES, PICTURES, DataFile, Dataset
from onnxferry.scoring import Scorer, load
from onnxferry.scoring.codecs import JSONLINES
from onnxferry.scoring.rows.batch_form import BATCH, is_refused
from onnxferry.scoring.wire import Request
from onnxferry.system.errors import UsageError

ROWS = 20  # that are scored here
_FILES = 3  # of pictures
_START = 64 << 10  # bytes of a file that hold its first rows, mostly
_MOST = 16 << 20  # and that are fetched where one row is larger

Fetch = Callable[[DataFile, int], bytes]


@dataclass(frozen=True)
class Sample:
    """What became of the first `rows`: `size` and `answers` are bytes of both, `longest` of the
    longest row; `cpu_ms` is the CPU time of all of them on this machine. `refused` counts the codes
    of errors, `example` is the first of these."""

    rows: int = 0
    size: int = 0
    answers: int = 0
    longest: int = 0
    cpu_ms: float = 0.0
    refused: Mapping[str, int] = field(default_factory=dict)
    example: str = ""

    def __add__(self, other: Sample) -> Sample:
        return Sample(
            self.rows + other.rows,
            self.size + other.size,
            self.answers + other.answers,
            max(self.longest, other.longest),
            self.cpu_ms + other.cpu_ms,
            Counter(self.refused) + Counter(other.refused),
            self.example or other.example,
        )

    def text(self) -> str:
        """What people read."""
        if not self.rows:
            return "The first rows were not scored here."
        count = sum(self.refused.values())
        start = f"Scored here first: {self.rows} row(s), {self.rows - count} answered"
        return f"{start}, {count} refused ({self.example})." if count else f"{start}."


def check(model_dir: Path, dataset: Dataset, fetch: Fetch) -> Sample:
    """Score the first rows of what is missing; none of a format whose rows are not read here.
    Raises UsageError where the model takes none of them, or a file cannot be read."""
    if dataset.format.name not in _READERS:
        return Sample()
    scorer, found = load(model_dir), Sample()
    for file in dataset.missing[: _FILES if dataset.format is PICTURES else 1]:
        rows = _READERS[dataset.format.name](file, fetch)
        found += _scored(scorer, dataset, file, rows)
    if found.rows and sum(found.refused.values()) == found.rows:
        advice = "nothing was started. Correct the input, or give another --model"
        raise UsageError(
            f"{dataset.place}: the model refuses all of the first {found.rows} row(s):"
            f" {found.example}; {advice}"
        )
    return found


def _scored(scorer: Scorer, dataset: Dataset, file: DataFile, rows: list[bytes]) -> Sample:
    """As a job's container would. It is asked twice, since the first run is slower."""
    body = b"".join(rows)
    request = Request(body, dataset.format.content_type, JSONLINES[0])
    response = scorer.handle(request, BATCH)
    if response.status != 200:
        said = json.loads(response.body)["error"]["message"]
        raise UsageError(f"{dataset.place}{file.name}: {said}; nothing was started")
    began = time.process_time()  # of all threads
    scorer.handle(request, BATCH)
    cpu_ms = (time.process_time() - began) * 1000
    answers = [json.loads(line) for line in response.body.split(b"\n")]
    refused = [(i, answer["error"]) for i, answer in enumerate(answers) if is_refused(answer)]
    codes = Counter(error["code"] for _, error in refused)
    example = next((f"{file.name} row {i + 1}: {e['message']}" for i, e in refused), "")
    sizes = (len(body), len(response.body), max(map(len, rows)))
    return Sample(len(answers), *sizes, cpu_ms, codes, example)


def _lines(file: DataFile, fetch: Fetch) -> list[bytes]:
    """The first whole lines."""
    for start in _growing(file, fetch):
        whole = start if len(start) >= file.size else start[: start.rfind(b"\n") + 1]
        if whole:
            return whole.splitlines(keepends=True)[:ROWS]
    raise UsageError(
        f"{file.name}: its first line has more than {_MOST >> 20} MB, or it is no JSON Lines: one"
        " JSON value a line"
    )


def _table(file: DataFile, fetch: Fetch) -> list[bytes]:
    """The header and the first whole rows, whose cells may hold newlines."""
    for start in _growing(file, fetch):
        ends = len(start) >= file.size
        rows = list(_rows(start.decode("utf-8-sig", errors="ignore")))
        rows = rows if ends else rows[:-1]
        if ends or len(rows) > 1:
            return rows[: ROWS + 1]
    raise UsageError(f"{file.name}: no row in its first {_MOST >> 20} MB")


def _rows(text: str) -> Iterator[bytes]:
    for row in csv.reader(io.StringIO(text, newline="")):
        out = io.StringIO(newline="")
        csv.writer(out).writerow(row)
        yield out.getvalue().encode()


def _growing(file: DataFile, fetch: Fetch) -> Iterator[bytes]:
    size = _START
    while size <= _MOST:
        yield fetch(file, min(size, file.size))
        if size >= file.size:
            return
        size *= 16


def _whole(file: DataFile, fetch: Fetch) -> list[bytes]:
    return [fetch(file, file.size)]


_READERS: Mapping[str, Callable[[DataFile, Fetch], list[bytes]]] = {
    JSON_LINES.name: _lines,
    CSV.name: _table,
    PICTURES.name: _whole,
}

"""The rows of a file with their answers, for batch jobs that are given files: those that batch_form
gives for the same rows. A file is read a piece at a time, however large it is.

A line out for each row in: {"file", "row", "answer", "error"}, `row` counting from 0. What cannot
be read, or has no rows, has one line that says so, whose `row` is null; where a file cannot be read
any further, that is the last row. Lines are ASCII: whoever writes them may use any encoding.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, AnyStr, TypeAlias

from onnxferry.scoring import codecs
from onnxferry.scoring.codecs.csv_codec import text_items
from onnxferry.scoring.codecs.headers import MediaType
from onnxferry.scoring.errors import InternalError, InvalidBody, ScoringError, UnsupportedMediaType
from onnxferry.scoring.forms import PIPELINE
from onnxferry.scoring.limits import exceeded
from onnxferry.scoring.rows.batch_form import Row, answered, line_row, whole
from onnxferry.scoring.rows.row_scorer import RowScorer
from onnxferry.scoring.scorer import Scorer
from onnxferry.scoring.wire import JSON, Request

ROWS, ROWS_BYTES = 256, 8 << 20  # of a piece, whichever is first: more are hardly faster
Table: TypeAlias = Mapping[str, Sequence[Any]]
Tables: TypeAlias = Callable[[Path], Iterator[Table]]
"""The rows of a Parquet file as columns, a piece at a time. Raises InvalidBody."""
Answers: TypeAlias = Iterator[Any]
"""Of each row, or the ScoringError that refuses it."""

_log = logging.getLogger("scoring")
_JSONLINES, _CSV = MediaType.parse(codecs.JSONLINES[0]), MediaType.parse(codecs.CSV)
_NOT_ASCII = re.compile("[^\x00-\x7f]")


def lines(scorer: Scorer, path: Path, name: str, tables: Tables) -> Iterator[str]:
    """A line for each row of the file at `path`, and at least one; `name` is its `file`. Nothing
    that is in a file, or wrong with it, raises."""
    row = -1
    try:
        for row, answer in enumerate(_answers(scorer, path, tables)):
            yield _line(name, row, answer)
        if row < 0:
            raise InvalidBody("the file has no rows")
    except Exception as e:
        yield _line(name, row + 1 if row >= 0 else None, _told(e, row + 1))


def _told(error: Exception, rows: int) -> ScoringError:
    """What ended the file after so many rows. What nothing here raises is a defect."""
    if isinstance(error, OSError):
        error = InvalidBody(f"the file cannot be read: {error.strerror or error}")
    elif not isinstance(error, ScoringError):
        _log.error("unexpected failure while a file was read", exc_info=error)
        error = InternalError("the file could not be read; the log has the cause")
    rest = f"; after {rows} row(s) no more of the file is read"
    return type(error)(f"{error}{rest}") if rows else error


def _answers(scorer: Scorer, path: Path, tables: Tables) -> Answers:
    read = _KINDS.get(path.suffix.lower())
    if read is None:
        what = f"a file with suffix '{path.suffix[:20]}' is not read"
        raise UnsupportedMediaType(f"{what}; known: {', '.join(_KINDS)}")
    return read(scorer, path, tables)


def _json_lines(scorer: Scorer, path: Path, tables: Tables) -> Answers:
    codecs.check_accepted(_JSONLINES, scorer.task.accepts)
    with path.open("rb") as file:
        for piece in _pieces(_cut(file, scorer.spec.limits.body_bytes), len):
            rows = [line if isinstance(line, ScoringError) else _row(line) for line in piece]
            with scorer.logged():
                answers = answered(scorer, rows)
            yield from answers


def _row(line: bytes) -> Row | ScoringError:
    return line_row(line.removesuffix(b"\n"), _JSONLINES)


def _csv(scorer: Scorer, path: Path, tables: Tables) -> Answers:
    """A row that is too long, or no text, ends the file: where the next begins is not known."""
    codecs.check_accepted(_CSV, scorer.task.accepts)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            whole_lines = map(_raised, _cut(file, scorer.spec.limits.body_bytes))
            for piece in _pieces(text_items(whole_lines), _cells_size):
                rows = [item if isinstance(item, ScoringError) else Row(item) for item in piece]
                with scorer.logged():
                    answers = answered(scorer, rows)
                yield from answers
    except UnicodeDecodeError as e:
        raise InvalidBody("the file is not UTF-8 text") from e


def _raised(line: str | ScoringError) -> str:
    if isinstance(line, ScoringError):
        raise line
    return line


def _cells_size(item: Any) -> int:
    return sum(map(len, item.values())) if isinstance(item, dict) else len(item)


def _parquet(scorer: Scorer, path: Path, tables: Tables) -> Answers:
    rows = RowScorer(scorer)
    for table in tables(path):
        with scorer.logged():
            answers = rows.answers(rows.columns.items(table))
        yield from answers


def _request(scorer: Scorer, path: Path, media_type: str) -> Answers:
    """The file is one row; what is over the limit is not read."""
    size = path.stat().st_size
    if not size:
        raise InvalidBody("the file is empty")
    body = path.read_bytes() if size <= scorer.spec.limits.body_bytes else b""
    with scorer.logged():
        answer = whole(scorer, Request(body, media_type, content_length=size))
    yield answer


def _picture(scorer: Scorer, path: Path, tables: Tables) -> Answers:
    return _request(scorer, path, "image/x-image")


def _json(scorer: Scorer, path: Path, tables: Tables) -> Answers:
    return _request(scorer, path, JSON)


_PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_KINDS: Mapping[str, Callable[[Scorer, Path, Tables], Answers]] = {
    **dict.fromkeys((".jsonl", ".ndjson", ".jsonlines"), _json_lines),
    ".csv": _csv,
    ".parquet": _parquet,
    ".json": _json,
    **dict.fromkeys(_PICTURES, _picture),
}


def _cut(file: IO[AnyStr], limit: int) -> Iterator[AnyStr | ScoringError]:
    """The lines of a file with their ends, and an error for each that is longer than `limit`, of
    which no more is held."""
    size = 0
    while line := file.readline(limit + 1):
        size += len(line)
        ended = line[-1:] in (b"\n", "\n")
        if size <= limit or (ended and size == limit + 1):
            yield line
            size = 0
        elif ended:
            yield exceeded(f"the line has {size - 1} bytes", limit, "body_bytes")
            size = 0
    if size:
        yield exceeded(f"the line has {size} bytes", limit, "body_bytes")


def _pieces(rows: Iterable[Any], size: Callable[[Any], int]) -> Iterator[list[Any]]:
    """What raises does so once all before it has been given."""
    held: list[Any] = []
    held_bytes = 0
    try:
        for row in rows:
            held.append(row)
            held_bytes += 0 if isinstance(row, ScoringError) else size(row)
            if len(held) >= ROWS or held_bytes >= ROWS_BYTES:
                yield held
                held, held_bytes = [], 0
    except Exception:
        if held:
            yield held
        raise
    if held:
        yield held


def _line(name: str, row: int | None, answer: Any) -> str:
    told: dict[str, Any] = {"file": name, "row": row, "answer": None, "error": None}
    if not isinstance(answer, ScoringError):
        try:
            return _ascii(codecs.encode_json({**told, "answer": answer}))
        except ScoringError as e:  # it holds NaN
            answer = e
    return _ascii(codecs.encode_json({**told, **PIPELINE.refusal(answer)}))


def _ascii(text: bytes) -> str:
    return _NOT_ASCII.sub(_escaped, text.decode())


def _escaped(found: re.Match[str]) -> str:
    """As JSON writes a character, in UTF-16."""
    units = found[0].encode("utf-16-be").hex()
    return "".join(f"\\u{units[i : i + 4]}" for i in range(0, len(units), 4))

"""One run of `onnxferry score`, as every engine gets it, and what it comes to."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.rows import Columns, Kind, columns
from onnxferry.scripts.score.arrow_batches import ColumnMapping
from onnxferry.system.errors import UsageError


@dataclass(frozen=True)
class TextFormat:
    """How texts in files are to be read. `header`: the columns' names of a CSV file without a line
    that names them."""

    encoding: str = "utf-8"
    delimiter: str = ""  # the suffix tells: a comma, for .tsv a tab
    header: tuple[str, ...] = ()


@dataclass(frozen=True)
class ScoreJob:
    """`inputs` and `output` as the user wrote them: paths, for Spark also addresses. `master` and
    `conf`: of Spark, whose unit of progress are files of `chunk_mb` together, 0 for its own."""

    inputs: tuple[str, ...]
    output: str
    model: Path
    parameters: Mapping[str, Any] = field(default_factory=dict)
    mapping: ColumnMapping = field(default_factory=ColumnMapping)
    text: TextFormat = field(default_factory=TextFormat)
    overwrite: bool = False
    processes: int = 1
    master: str = ""
    conf: Mapping[str, str] = field(default_factory=dict)
    chunk_mb: float = 0


@dataclass(frozen=True)
class Outcome:
    """`refused`: code -> rows. `resumed`: the rows that an earlier run had done."""

    output: str
    rows_in: int
    rows_out: int
    refused: Mapping[str, int]
    seconds: float
    resumed: int = 0

    @property
    def answered(self) -> int:
        return self.rows_out - sum(self.refused.values())

    def text(self) -> str:
        """Two lines for people."""
        scored = self.rows_out - self.resumed
        rate = f", {scored / self.seconds:,.0f} rows/s" if scored and self.seconds else ""
        resumed = f", {self.resumed:,} of them before" if self.resumed else ""
        counts = f"{self.rows_in:,} rows in, {self.rows_out:,} out{resumed}{rate}"
        why = ", ".join(f"{code} {rows:,}" for code, rows in sorted(self.refused.items()))
        refused = f"{sum(self.refused.values()):,} refused" + (f": {why}" if why else "")
        return f"{self.output}: {counts}\n{self.answered:,} answered, {refused}"


def parameters(spec: ModelSpec, settings: Sequence[str]) -> dict[str, Any]:
    """The parameters of a request as --set gives them, "top_k=2". Raises UsageError."""
    known = columns(spec).parameters
    given: dict[str, Any] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals or name not in known:
            names = ", ".join(known) or "no parameters"
            raise UsageError(f"--set {setting}: expected NAME=VALUE; {spec.task} takes {names}")
        given[name] = _value(f"--set {setting}", text, known[name])
    return given


def _value(flag: str, text: str, kind: Kind) -> Any:
    """A list of texts may be written with commas."""
    if kind == "string":
        return text
    try:
        value = json.loads(text)
    except ValueError:
        value = text
    if isinstance(kind, list):
        return value if isinstance(value, list) else [part.strip() for part in text.split(",")]
    fits = {"long": (int,), "boolean": (bool,), "double": (int, float)}[str(kind)]
    if type(value) not in fits:
        wanted = {"long": "a whole number", "boolean": "true or false", "double": "a number"}
        raise UsageError(f"{flag}: expected {wanted[str(kind)]}")
    return value


def settings(pairs: Sequence[str]) -> dict[str, str]:
    """Of --conf, "spark.task.cpus=2". Raises UsageError."""
    if wrong := [pair for pair in pairs if not all(pair.partition("="))]:
        raise UsageError(f"--conf {wrong[0]}: expected NAME=VALUE")
    return dict(pair.split("=", 1) for pair in pairs)


def mapping(known: Columns, pairs: Sequence[str], prefix: str) -> ColumnMapping:
    """Of --column, "text=body": the model's column and the table's. Raises UsageError."""
    names = [column.name for column in known.inputs]
    sources = {}
    for pair in pairs:
        name, equals, source = pair.partition("=")
        if not (equals and source) or name not in names:
            reads = f"the model reads {', '.join(names)}"
            raise UsageError(f"--column {pair}: expected MODEL_COLUMN=INPUT_COLUMN; {reads}")
        sources[name] = source
    return ColumnMapping(sources, prefix)

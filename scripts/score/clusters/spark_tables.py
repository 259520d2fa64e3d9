"""How Spark reads the rows of files, and writes them, by format: a column holds in the output what
it held in the input, unless a format cannot hold it."""

from __future__ import annotations

import codecs
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from onnxferry.scripts.score import formats
from onnxferry.scripts.score.arrow_batches import ColumnMapping
from onnxferry.scripts.score.clusters.spark_lines import BROKEN, Lines
from onnxferry.scripts.score.formats.text_file import has_tabs
from onnxferry.scripts.score.job import ScoreJob, TextFormat
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructField, StructType

_BASE = "basePath"
_KEPT = {"mode": "PERMISSIVE", "columnNameOfCorruptRecord": BROKEN}  # a broken line is a row
_CSV = {"header": "true", "escape": '"', "multiLine": "true"}  # as RFC 4180 quotes
_GLOB = re.compile(r"[*?{}\[\]\\]")  # what Spark would take for a pattern


@dataclass(frozen=True)
class Table:
    """Files of rows. `name` is Spark's of their format; `options` are those of reading and of
    writing, `reading` those of reading alone; in a `flat` format cells are texts and numbers.
    `lines`: of an input of text, whose column BROKEN has those that are no rows."""

    name: str
    options: Mapping[str, str] = field(default_factory=dict)
    reading: Mapping[str, str] = field(default_factory=dict)
    flat: bool = False
    schema: StructType | None = None
    lines: Lines | None = None

    def rows(self, session: SparkSession, files: Sequence[str]) -> DataFrame:
        """The rows of files. Pictures are rows of `path` and `image`, their bytes."""
        read = session.read.format(self.name).options(**{**self.options, **self.reading})
        named = [_GLOB.sub(r"\\\g<0>", file) for file in files]
        found = (read.schema(self.schema) if self.schema else read).load(named)
        if self.name == "binaryFile":
            return found.selectExpr("path", "content AS image")
        return found

    def told(self) -> dict[str, str]:
        """What the user says of the files."""
        return {name: value for name, value in self.reading.items() if name != _BASE}

    def mapping(self, given: ColumnMapping) -> ColumnMapping:
        """`given`, and no pictures in the output, which has their paths, nor broken lines."""
        own = ("image",) if self.name == "binaryFile" else (BROKEN,) if self.lines else ()
        return replace(given, dropped=(*given.dropped, *own))

    def empty(self, session: SparkSession) -> DataFrame:
        """No rows of the same columns."""
        if self.name == "binaryFile":
            return session.createDataFrame([], "path string, image binary")
        return session.createDataFrame([], self.schema).drop(BROKEN)

    def write(self, df: DataFrame, folder: str) -> StructType:
        """Write the rows into a new folder; the columns as they are written: in a flat format a
        list or a struct is JSON, bytes are base64."""
        fitted = df.selectExpr(*map(_flat, df.schema)) if self.flat else df
        options = self.options
        fitted.write.format(self.name).options(**options).mode("errorifexists").save(folder)
        schema: StructType = fitted.schema
        return schema


_TABLES = {  # by names as of `formats`
    "Parquet": Table("parquet"),
    "CSV": Table("csv", _CSV, flat=True),
    "JSON Lines": Table("json", {"ignoreNullFields": "false"}),
    "pictures": Table("binaryFile"),
}


def input_table(session: SparkSession, job: ScoreJob, files: Sequence[str]) -> Table:
    """How files, all of one format, are read: their columns are as Spark finds them. Raises
    UsageError for texts that are not as the user says."""
    table = _TABLES[formats.of(files[0])]
    table = replace(table, reading=_reading(table, job, files[0]))
    if table.name == "binaryFile":
        return table
    schema = _schema(table.rows(session, files).schema, table, job)
    return replace(table, schema=schema, lines=_lines(schema, table, files[0]))


def output_table(job: ScoreJob) -> Table:
    """How answers are written: by the output's name, Parquet where it tells nothing."""
    name = formats.of(job.output.rstrip("/"))
    return _TABLES[name if name in formats.WRITERS else "Parquet"]


def _reading(table: Table, job: ScoreJob, file: str) -> dict[str, str]:
    """What the user says of texts in files; and where a partitioned table begins."""
    alone = len(job.inputs) == 1 and not (_GLOB.search(job.inputs[0]) or formats.of(job.inputs[0]))
    base = {_BASE: job.inputs[0]} if alone else {}
    if table.name == "json":
        encoding = _encoding(job.text)
        other = {} if encoding == "utf-8" else {"encoding": encoding, "lineSep": "\n"}
        return {**base, **_KEPT, "allowSingleQuotes": "false", **other}
    return {**base, **_KEPT, **_csv(job.text, file)} if table.name == "csv" else base


def _lines(schema: StructType, table: Table, file: str) -> Lines | None:
    """How the input's lines hold `schema`, whose columns are also those of its folders."""
    if table.name != "csv":
        return Lines() if table.name == "json" else None
    base = table.reading.get(_BASE)
    below = file.rpartition(f"{base.rstrip('/')}/")[2].split("/")[:-1] if base else []
    folders = {part.partition("=")[0] for part in below if "=" in part}
    own = [name for name in schema.names if name not in {*folders, BROKEN}]
    delimiter = table.reading.get("sep", ",")
    return Lines(len(own), delimiter, quotes=table.reading.get("quote") != "")


def tabbed(text: TextFormat, file: str) -> bool:
    """Whether tabs are between a file's cells, which have no quotes then."""
    return has_tabs(file) and not text.delimiter


def _csv(text: TextFormat, file: str) -> dict[str, str]:
    """Columns are found by the names in each file's first line, not by their places. A .tsv has no
    quotes."""
    tabs = {"sep": "\t", "quote": "", "multiLine": "false"} if tabbed(text, file) else {}
    header = {"header": "false"} if text.header else {"enforceSchema": "false"}
    sep = {"sep": text.delimiter} if text.delimiter else {}
    return {"encoding": _encoding(text), **tabs, **header, **sep}


def _encoding(text: TextFormat) -> str:
    """By a name that Java knows too."""
    try:
        return codecs.lookup(text.encoding).name.removesuffix("-sig")
    except LookupError as e:
        raise UsageError(f"--encoding {text.encoding}: no such encoding; utf-8 is common") from e


def _schema(found: StructType, table: Table, job: ScoreJob) -> StructType:
    from pyspark.sql.types import StringType, StructField, StructType

    own = [column for column in found if column.name != BROKEN]
    names = job.text.header if table.name == "csv" else ()
    if names and len(names) != len(own):
        raise UsageError(f"--header has {len(names)} names, and the files {len(own)} columns")
    if names:
        own = [_renamed(column, name) for column, name in zip(own, names, strict=True)]
    broken = [StructField(BROKEN, StringType())] if table.name in ("csv", "json") else []
    return StructType([*own, *broken])


def _renamed(column: StructField, name: str) -> StructField:
    from pyspark.sql.types import StructField

    return StructField(name, column.dataType, column.nullable)


def _flat(column: StructField) -> str:
    from pyspark.sql import types

    name = f"`{column.name.replace('`', '``')}`"
    if isinstance(column.dataType, types.BinaryType):
        return f"base64({name}) AS {name}"
    if isinstance(column.dataType, types.ArrayType | types.MapType | types.StructType):
        return f"to_json({name}) AS {name}"
    return name

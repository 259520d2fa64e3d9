"""score_dataframe: the rows of a Spark DataFrame get a model's answers, in a session that runs: a
notebook's, a job's, or the one of `onnxferry score --engine spark`.

from onnxferry.scripts.score.spark import score_dataframe
scored = score_dataframe(spark.read.parquet("questions"), "build/models/minilm-squad")
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.rows import ERROR, Columns, Kind, columns
from onnxferry.scripts.package import model as model_folder
from onnxferry.scripts.score.arrow_batches import ColumnMapping, output_schema
from onnxferry.scripts.score.clusters.spark_check import check_workers
from onnxferry.scripts.score.clusters.spark_shipping import HERE, ship, version
from onnxferry.scripts.score.clusters.spark_worker import Work
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import DataType, StructType

_ROWS, _PICTURES = 1024, 64  # that a worker scores and holds at once


def score_dataframe(
    df: DataFrame,
    model: str | Path,
    *,
    parameters: Mapping[str, Any] | None = None,
    mapping: ColumnMapping | None = None,
    send: bool = True,
) -> DataFrame:
    """`df` with its columns, those of the answers (strings, numbers, arrays and structs, as the
    task gives them) and `error`, "code: message" where a row has no answer. As many rows come out
    as go in; nothing is scored before an action asks for it.

    `parameters` go with every row, `mapping` says where names differ. Each of Spark's Python
    workers opens the model once, with as many threads as spark.task.cpus says (1). With `send` the
    code and the model directory go along with the session; without it the workers have onnxferry
    installed and find the model at the very path `model`.

    Raises PackageError for an unusable model directory, and UsageError for columns or parameters
    that do not fit, or workers that cannot score (a small job asks them).
    """
    ready = prepared(df.sparkSession, Path(model), parameters or {}, mapping, send=send)
    return ready.score(df)


@dataclass(frozen=True)
class Prepared:
    """A model that a session's workers have, for any number of DataFrames."""

    work: Work
    columns: Columns
    version: str

    def score(self, df: DataFrame) -> DataFrame:
        """`df` with the answers. Raises UsageError for columns that do not fit."""
        schema = self.schema(df)
        work = self.work

        def score(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            return work.batches(batches)

        return df.mapInArrow(score, schema)

    def schema(self, df: DataFrame) -> StructType:
        """What `score` adds to the columns of `df`. Raises UsageError as it does."""
        return _schema(df, self.columns, self.work.mapping)


def prepared(
    session: SparkSession,
    model: Path,
    parameters: Mapping[str, Any],
    mapping: ColumnMapping | None,
    *,
    send: bool = True,
) -> Prepared:
    """The model, sent to the session's workers and opened by some of them. Raises as
    score_dataframe does, but for columns."""
    checked = model_folder.check(model, HERE)
    try:
        known = columns(checked.spec, parameters)
    except ScoringError as e:
        raise UsageError(str(e)) from e
    named = version(checked)
    pictures = any(column.kind == "binary" for column in known.inputs)
    work = Work(
        ship(session, checked, named) if send else str(model),
        dict(parameters),
        mapping or ColumnMapping(),
        _PICTURES if pictures else _ROWS,
    )
    check_workers(session, work, checked.libraries)
    return Prepared(work, known, named)


def _schema(df: DataFrame, known: Columns, mapping: ColumnMapping) -> StructType:
    """As output_schema has it, with Spark's own types for the columns of `df`."""
    from pyspark.sql.pandas.types import to_arrow_schema
    from pyspark.sql.types import StructField, StructType

    try:
        names = output_schema(known, to_arrow_schema(df.schema), mapping).names
    except ScoringError as e:
        raise UsageError(str(e)) from e
    _check_case(names)
    kept = [field for field in df.schema if field.name not in mapping.dropped]
    kinds: dict[str, Kind] = {**known.outputs, ERROR: "string"}
    added = [StructField(mapping.prefix + name, spark_type(kind)) for name, kind in kinds.items()]
    return StructType([*kept, *added])


def _check_case(names: Sequence[str]) -> None:
    """Spark takes names that differ in case alone for one name, which its files cannot hold."""
    folded = [name.lower() for name in names]
    if twice := [name for name in names if folded.count(name.lower()) > 1]:
        shown = ", ".join(f"'{name[:40]}'" for name in twice[:10])
        raise UsageError(f"to Spark, {shown} are one name; give the new columns a prefix")


def spark_type(kind: Kind) -> DataType:
    """Spark's type of a column's kind."""
    from pyspark.sql import types

    if isinstance(kind, dict):
        fields = [types.StructField(name, spark_type(of)) for name, of in kind.items()]
        return types.StructType(fields)
    if isinstance(kind, list):
        return types.ArrayType(spark_type(kind[0]))
    found: DataType = getattr(types, f"{kind.title()}Type")()
    return found

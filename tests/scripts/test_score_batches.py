"""A batch of an Arrow table keeps its columns and gets the answers beside them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from onnxferry.scoring import ModelSpec, ScoringError, load
from onnxferry.scoring.rows import ERROR, RowScorer
from onnxferry.scripts.score.arrow_batches import (
    ColumnMapping,
    arrow_type,
    output_schema,
    score_batch,
)
from tests import tiny
from tests.scoring.test_rows import CASES, table


def batch(**columns: Any) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict(columns)


def texts(folder: Path, **parameters: Any) -> RowScorer:
    return RowScorer(load(tiny.text_classification(folder)), parameters)


def plain(value: Any) -> Any:
    """A value as Arrow gives it back."""
    if isinstance(value, dict):
        return {name: plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [plain(one) for one in value]
    return value.item() if isinstance(value, np.generic) else value


@pytest.mark.parametrize("task", CASES)
def test_answers_are_columns_of_their_kinds(task: str, tmp_path: Path) -> None:
    make, items, parameters = CASES[task]
    rows = RowScorer(load(make(tmp_path)), parameters)
    cells = table([*items, None, *items] if not isinstance(items[0], dict) else [*items, {}])

    scored = score_batch(rows, pa.RecordBatch.from_pydict(cells))

    expected = rows.score(cells, keep_errors=True)
    assert scored.schema.names == [*cells, *rows.columns.outputs, ERROR]
    for name, kind in rows.columns.outputs.items():
        assert scored.schema.field(name).type == arrow_type(kind)
        assert scored.column(name).to_pylist() == plain(expected[name])
    assert scored.column(ERROR).to_pylist() == expected[ERROR]
    assert any(expected[ERROR])
    assert not all(expected[ERROR])


def test_all_columns_are_kept_as_they_are(tmp_path: Path) -> None:
    given = pa.RecordBatch.from_arrays(
        [
            pa.array(["good day", "bad"]),
            pa.array(["007", None]).dictionary_encode(),
            pa.array([1, None], pa.timestamp("ns", "Europe/Berlin")),
            pa.array([{"a": [1, None]}, None]),
            pa.array([None, 2], pa.decimal128(38, 9)),
            pa.array([None, None]),
        ],
        schema=pa.schema(
            [
                pa.field("text", pa.string(), nullable=False, metadata={"of": "a field"}),
                ("id", pa.dictionary(pa.int32(), pa.string())),
                ("time", pa.timestamp("ns", "Europe/Berlin")),
                ("nested", pa.struct([("a", pa.list_(pa.int64()))])),
                ("amount", pa.decimal128(38, 9)),
                ("nothing", pa.null()),
            ],
            metadata={"pandas": "{}", "org.apache.spark.sql.parquet.row.metadata": "{}"},
        ),
    )
    scored = score_batch(texts(tmp_path), given)
    assert scored.select(given.schema.names).columns == given.columns
    assert [scored.schema.field(n) for n in given.schema.names] == [*given.schema]
    # by Spark's own note of the schema Spark would not see the new columns
    assert scored.schema.metadata == {b"pandas": b"{}"}
    assert scored.column("label").to_pylist() == ["good", "bad"]


def test_a_name_that_the_table_has_itself_is_refused_or_prefixed(tmp_path: Path) -> None:
    rows = texts(tmp_path)
    given = batch(text=["good day"], label=[3], error=["none"])
    with pytest.raises(ScoringError, match=r"'label', 'error' itself.*prefix"):
        output_schema(rows.columns, given.schema)

    scored = score_batch(rows, given, ColumnMapping(prefix="predicted_"))

    added = ["predicted_label", "predicted_score", "predicted_error"]
    assert scored.schema.names == ["text", "label", "error", *added]
    assert scored.column("label").to_pylist() == [3]
    assert scored.column("predicted_label").to_pylist() == ["good"]


def test_columns_of_other_names_are_mapped(tmp_path: Path) -> None:
    rows = texts(tmp_path)
    given = batch(text=[None], body=["bad"])
    scored = score_batch(rows, given, ColumnMapping({"text": "body"}, dropped=("text",)))
    assert scored.schema.names == ["body", "label", "score", ERROR]
    assert scored.column("label").to_pylist() == ["bad"]


@pytest.mark.parametrize(
    ("columns", "sources", "message"),
    [
        ({"body": ["x"]}, {}, "no column 'text' or 'inputs' or 'sequence'; the table has 'body'"),
        ({"text": ["x"]}, {"text": "body"}, "no column 'body'; the table has 'text'"),
        ({"text": ["x"]}, {"txt": "text"}, "no column 'txt'; it reads text, text_pair"),
        ({"text": [1]}, {}, "column 'text' must hold text, and it holds int64"),
        ({"text": [b"x"]}, {}, "column 'text' must hold text, and it holds binary"),
    ],
)
def test_wrong_columns_are_refused_before_any_row(
    columns: dict[str, Sequence[Any]], sources: dict[str, str], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ScoringError, match=message):
        output_schema(texts(tmp_path).columns, batch(**columns).schema, ColumnMapping(sources))


def test_a_name_that_is_there_twice_is_refused(tmp_path: Path) -> None:
    schema = pa.schema([("text", pa.string()), ("id", pa.int8()), ("id", pa.int8())])
    with pytest.raises(ScoringError, match="more than one column is named 'id'"):
        output_schema(texts(tmp_path).columns, schema)


@pytest.mark.parametrize("of", [pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_text_of_any_arrow_type_is_read(of: pa.DataType, tmp_path: Path) -> None:
    given = pa.RecordBatch.from_arrays([pa.array(["good", None, "bad"]).cast(of)], ["text"])
    assert score_batch(texts(tmp_path), given).column("label").to_pylist() == ["good", None, "bad"]


def test_a_column_without_a_value_and_no_rows_are_scored(tmp_path: Path) -> None:
    rows = texts(tmp_path)
    scored = score_batch(rows, batch(text=[None, None]))
    assert scored.column("label").null_count == 2
    assert scored.column(ERROR).null_count == 0
    empty = batch(text=["good"]).slice(0, 0)
    assert score_batch(rows, empty).schema == output_schema(rows.columns, empty.schema)


def test_pictures_beside_their_paths_are_read(tmp_path: Path) -> None:
    """As the Hub's data sets hold them."""
    rows = RowScorer(load(tiny.image_classification(tmp_path)))
    red, blue = CASES["image-classification"][1]
    cells = [{"bytes": red, "path": "a.png"}, None, {"bytes": blue, "path": None}]
    scored = score_batch(rows, batch(image=cells))
    assert scored.column("label").to_pylist() == ["red", None, "blue"]
    assert scored.column("image").to_pylist() == cells


def test_lists_are_read_from_text_too(tmp_path: Path) -> None:
    """As tables in CSV have them."""
    rows = RowScorer(load(tiny.text_ranking(tmp_path)))
    documents = ["dolly", "good day"]
    scored = score_batch(
        rows, batch(query=["who"] * 3, documents=[json.dumps(documents), "{}", "7"])
    )
    lists = score_batch(rows, batch(query=["who"], documents=[documents]))
    assert scored.column("ranking")[0] == lists.column("ranking")[0]
    assert [bool(error) for error in scored.column(ERROR).to_pylist()] == [False, True, True]


def test_arrays_of_any_type_are_columns(tmp_path: Path) -> None:
    folder = tiny.tensors(tmp_path)
    task = load(folder).task  # what prepare writes into the spec
    spec = ModelSpec("t", "tensors", inputs=task._runner.inputs, outputs=task._runner.outputs)  # type: ignore[attr-defined]
    tiny.write_spec(folder, spec)
    given = batch(x=[[1.0, 2.0], [3.0], None], k=[[1], [1], [1]])
    scored = score_batch(RowScorer(load(folder)), given)
    assert scored.column("square").to_pylist() == [[4.0, 9.0], [16.0], None]
    assert scored.column("positive").to_pylist() == [[True, True], [True], None]

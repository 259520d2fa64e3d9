"""The rows of a Spark DataFrame, and of files that a cluster reads, get the answers that a request
gets: each once, whatever is broken, killed or done again."""

from __future__ import annotations

import gzip
import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import csv, dataset, parquet

from onnxferry.cli import cli
from onnxferry.scoring import load
from onnxferry.scoring.rows import RowScorer
from onnxferry.scripts.score.arrow_batches import ColumnMapping
from onnxferry.scripts.score.clusters import spark_run, spark_tables
from onnxferry.scripts.score.clusters.chunked_output import RECORDS, Chunk, Output
from onnxferry.scripts.score.clusters.spark_lines import BROKEN, Lines
from onnxferry.scripts.score.clusters.spark_tables import Table
from onnxferry.scripts.score.clusters.stored_files import Storage
from onnxferry.scripts.score.job import ScoreJob, TextFormat
from onnxferry.scripts.score.spark import score_dataframe
from onnxferry.system.errors import BatchScoringError, UsageError
from tests import tiny
from tests.scoring.test_custom_task import own
from tests.scoring.test_image_classification import picture

pytestmark = pytest.mark.host
TEXTS = ["good day", "bad", None, " ", "very good", "awful day"]
REFUSED = {"invalid_type": 1, "invalid_value": 1}


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    """A session with two workers in this process's JVM."""
    from pyspark.sql import SparkSession

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYSPARK_PYTHON", sys.executable)
        made = SparkSession.builder.master("local[2]").appName("tests")
        for name in ("ui.enabled", "ui.showConsoleProgress"):
            made = made.config(f"spark.{name}", "false")
        session = made.config("spark.sql.shuffle.partitions", "1").getOrCreate()
        session.sparkContext.setLogLevel("OFF")
        yield session
        session.stop()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    golden = tiny.golden({"inputs": "good"}, [])
    return tiny.text_classification(tmp_path_factory.mktemp("model"), golden=golden)


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three files, the last without rows."""
    folder = tmp_path / "rows"
    folder.mkdir()
    for i, texts in enumerate((TEXTS[:4], TEXTS[4:], [])):
        columns = {"id": pa.array(range(10 * i, 10 * i + len(texts)), pa.int32())}
        rows = pa.table({**columns, "text": pa.array(texts, pa.string())})
        parquet.write_table(rows, folder / f"{i}.parquet")
    return folder


def rows_in(folder: Path) -> list[dict[str, Any]]:
    """What a reader of the output sees, sorted."""
    rows: list[dict[str, Any]] = dataset.dataset(folder, format="parquet").to_table().to_pylist()
    return sorted(rows, key=lambda row: row["id"])


def expected(model: Path, texts: list[str | None]) -> list[Any]:
    return list(RowScorer(load(model)).score({"text": texts}, keep_errors=True)["label"])


def test_the_rows_of_a_dataframe_get_their_answers_beside_them(spark: Any, model: Path) -> None:
    rows = [(i, text, [i], {"k": i}) for i, text in enumerate(TEXTS)]
    schema = "id int not null, text string, list array<int>, struct struct<k int>"
    given = spark.createDataFrame(rows, schema).repartition(8)

    scored = score_dataframe(given, model, parameters={"top_k": 2})

    assert scored.schema.simpleString() == (
        "struct<id:int,text:string,list:array<int>,struct:struct<k:int>,label:string,score:double,"
        "labels:array<struct<label:string,score:double>>,error:string>"
    )
    found = sorted(scored.collect())
    assert [row.id for row in found] == list(range(len(TEXTS)))
    assert [(row.text, row.list, row.struct.k) for row in found] == [
        (t, [i], i) for i, t, *_ in rows
    ]
    assert [row.label for row in found] == expected(model, TEXTS)
    assert [len(row.labels) for row in found if row.labels] == [2] * 4
    assert [row.error for row in found if row.error] == [
        "invalid_type: 'text' must be a string, got null",
        "invalid_value: 'text' is empty; expected text",
    ]


OPENED = """
import os, uuid
class Opened:
    accepts = ("application/json",)
    def __init__(self, spec, session, folder):
        self.told = {"opened": uuid.uuid4().hex, "in": os.getpid(), "threads": spec.engine.threads}
    def answer(self, payload):
        return {**self.told, "asked": os.getpid()}
"""


def test_each_worker_opens_the_model_once_in_itself_with_one_thread(
    spark: Any, tmp_path: Path
) -> None:
    folder = own(tmp_path / "own", OPENED, "file:echo.py:Opened")
    given = spark.range(0, 64, 1, 8).selectExpr("cast(id AS string) AS request")

    told = [json.loads(row.answer) for row in score_dataframe(given, folder).collect()]

    assert len(told) == 64
    assert {one["threads"] for one in told} == {1}
    assert all(one["in"] == one["asked"] != os.getpid() for one in told)
    opened = {(one["in"], one["opened"]) for one in told}
    assert len(opened) == len({one["in"] for one in told}) <= 2


def test_what_does_not_fit_is_told_before_a_job_is_run(spark: Any, model: Path) -> None:
    texts = spark.createDataFrame([("good",)], "text string")
    with pytest.raises(UsageError, match=r"no column 'text' .*; the table has 'body'"):
        score_dataframe(texts.withColumnRenamed("text", "body"), model)
    with pytest.raises(UsageError, match=r"column 'text' must hold text, and it holds int64"):
        score_dataframe(spark.range(1).withColumnRenamed("id", "text"), model)
    with pytest.raises(UsageError, match=r"has column\(s\) 'label' itself.*prefix"):
        score_dataframe(texts.selectExpr("text", "1 AS label"), model)
    with pytest.raises(UsageError, match=r"'Label', 'label' are one name; .*prefix"):
        score_dataframe(texts.selectExpr("text", "1 AS Label"), model)
    with pytest.raises(UsageError, match=r"InvalidType: 'parameters\.top_k' must be an integer"):
        score_dataframe(texts, model, parameters={"top_k": "2"})
    with pytest.raises(UsageError, match="no such folder"):
        score_dataframe(texts, model / "none")
    found = score_dataframe(
        texts.selectExpr("text AS body", "1 AS label"),
        model,
        mapping=ColumnMapping({"text": "body"}, prefix="predicted_"),
    ).collect()
    assert [(row.label, row.predicted_label, row.predicted_error) for row in found] == [
        (1, "good", None)
    ]


def test_what_workers_lack_is_told_before_a_job_is_run(
    spark: Any, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
    monkeypatch.setattr(spark.sparkContext, "pythonExec", str(bare))
    with pytest.raises(UsageError) as told:
        score_dataframe(spark.createDataFrame([("good",)], "text string"), model)
    assert f"Python {bare}, lacks pyarrow (No module named 'pyarrow'), " in str(told.value)
    assert "onnxruntime (" in str(told.value)
    assert "tokenizers (" in str(told.value)
    assert "PYSPARK_PYTHON" in str(told.value)
    monkeypatch.setattr(spark.sparkContext, "pythonExec", "/no/python")
    with pytest.raises(UsageError, match='Cannot run program "/no/python"'):
        score_dataframe(spark.createDataFrame([("good",)], "text string"), model)


def test_a_model_that_is_on_every_machine_need_not_be_sent(spark: Any, model: Path) -> None:
    given = spark.createDataFrame([("bad",)], "text string")
    assert [row.label for row in score_dataframe(given, model, send=False).collect()] == ["bad"]


def test_the_rows_of_files_are_scored_once_each(
    spark: Any, model: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = ScoreJob((str(table),), str(out), model)

    outcome = spark_run.run(job)

    assert (outcome.rows_in, outcome.rows_out, outcome.refused) == (6, 6, REFUSED)
    rows = rows_in(out)
    assert [(row["id"], row["text"]) for row in rows] == list(
        zip([0, 1, 2, 3, 10, 11], TEXTS, strict=True)
    )
    assert [row["label"] for row in rows] == expected(model, TEXTS)
    assert list(rows[0]) == ["id", "text", "label", "score", "error"]
    assert spark.read.parquet(str(out)).count() == 6
    again = spark_run.run(job)
    assert (again.rows_out, again.resumed, again.refused) == (6, 6, REFUSED)
    assert rows_in(out) == rows


class Dies(Storage):
    """A driver that is killed before its `last` change of files: no more is done."""

    last = 0

    def write(self, path: str, text: str) -> None:
        self._alive()
        super().write(path, text)

    def move(self, path: str, to: str) -> None:
        self._alive()
        super().move(path, to)

    def remove(self, path: str) -> None:
        self._alive()
        super().remove(path)

    def _alive(self) -> None:
        self.last -= 1
        if self.last < 0:
            raise ConnectionError("killed")


RUN = {"input": "1", "model": "2", "parameters": {}, "mapping": {}, "formats": []}


def work(storage: Storage, folder: Path, staged: Callable[[str], Path]) -> int:
    """What a run does with its output: three chunks, of two parts each. The rows that were done."""
    output = Output(storage, str(folder))
    resumed = output.open(RUN)
    done = {file for chunk in output.chunks() for file in chunk.files}
    for file in sorted({"a", "b", "c"} - done):
        stage = staged(output.stage())
        for part in range(2):
            (stage / f"part-{part}").write_text(f"{file}{part}")
        (stage / "_SUCCESS").touch()
        output.keep(Chunk((file,), str(stage), 2, {}))
    output.complete()
    return resumed


def made(path: str) -> Path:
    Path(path).mkdir(parents=True)
    return Path(path)


def test_killed_at_any_moment_the_output_becomes_whole_and_has_nothing_twice(
    spark: Any, tmp_path: Path
) -> None:
    storage, moment, seen = Storage(spark.sparkContext), 0, set()
    while True:
        folder, mortal = tmp_path / str(moment), Dies(spark.sparkContext)
        mortal.last = moment
        try:
            work(mortal, folder, made)
            break
        except ConnectionError:
            seen.add(work(storage, folder, made))
        parts = sorted(path for path in folder.glob("[!._]*"))
        assert [path.read_text() for path in parts] == ["a0", "a1", "b0", "b1", "c0", "c1"], moment
        records = sorted(storage.names(f"{folder}/{RECORDS}"))
        assert records == [*(f"chunk-000000{i}.json" for i in (1, 2, 3)), "run.json"], moment
        moment += 1
    assert moment == 18  # 2 for the run's record, 2 for each chunk's, 3 to move it; _SUCCESS
    assert seen == {0, 2, 4, 6}


def test_a_run_that_fails_goes_on_where_it_was(
    spark: Any, model: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ScoreJob((str(table),), str(tmp_path / "out"), model, chunk_mb=1e-6)
    keep = Output.keep

    def keep_one(output: Output, chunk: Chunk) -> None:
        if output.chunks():
            raise OSError("no room")
        keep(output, chunk)

    with monkeypatch.context() as patch, pytest.raises(BatchScoringError, match="no room"):
        patch.setattr(Output, "keep", keep_one)
        spark_run.run(job)
    assert [row["id"] for row in rows_in(tmp_path / "out")] == [0, 1, 2, 3]

    outcome = spark_run.run(job)

    assert (outcome.rows_out, outcome.resumed, outcome.refused) == (6, 4, REFUSED)
    assert [row["id"] for row in rows_in(tmp_path / "out")] == [0, 1, 2, 3, 10, 11]


def test_another_runs_output_is_refused_or_replaced(
    spark: Any, model: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    job = ScoreJob((str(table / "0.parquet"),), str(out), model)
    assert spark_run.run(job).rows_out == 4
    other = replace(job, inputs=(str(table),), parameters={"top_k": 2})
    with pytest.raises(UsageError, match=r"another run \(the input's files .*, other parameters\)"):
        spark_run.run(other)
    os.utime(table / "0.parquet", (1, 1))
    with pytest.raises(UsageError, match=r"another run \(the input's files are not the same"):
        spark_run.run(job)
    assert spark_run.run(replace(other, overwrite=True)).rows_out == 6
    assert len(rows_in(out)[0]["labels"]) == 2
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    with pytest.raises(UsageError, match=r"mine is not empty \(it has 'notes.txt'\)"):
        spark_run.run(replace(job, output=str(tmp_path / "mine")))
    with pytest.raises(UsageError, match="no run wrote it: --overwrite does not remove it"):
        spark_run.run(replace(job, output=str(tmp_path / "mine"), overwrite=True))
    assert (tmp_path / "mine" / "notes.txt").is_file()
    with pytest.raises(UsageError, match="one inside the other"):
        spark_run.run(replace(other, output=str(table / "out")))
    with pytest.raises(UsageError, match="Spark finds no file of a known format"):
        spark_run.run(replace(job, inputs=(str(tmp_path / "none"),)))
    (tmp_path / "a.csv.xz").touch()
    with pytest.raises(UsageError, match="Spark does not unpack"):
        spark_run.run(replace(job, inputs=(str(tmp_path / "a.csv.xz"),)))


@pytest.mark.spark
def test_texts_keep_what_they_hold_in_csv_and_json_lines(
    spark: Any, model: Path, tmp_path: Path
) -> None:
    texts = ['good "day", and\nanother', "bad", "äöü good"]
    csv.write_csv(pa.table({"n": ["007", "1", "2"], "text": texts}), tmp_path / "in.csv")
    job = ScoreJob((str(tmp_path / "in.csv"),), str(tmp_path / "out.jsonl"), model)
    assert spark_run.run(replace(job, parameters={"top_k": 2})).rows_out == 3
    written = [p.read_text().splitlines() for p in (tmp_path / "out.jsonl").glob("chunk-*")]
    rows = [json.loads(line) for lines in written for line in lines]
    assert [(row["n"], row["text"], row["error"]) for row in rows] == [
        (n, text, None) for n, text in zip(("007", "1", "2"), texts, strict=True)
    ]
    assert [label["label"] for label in rows[0]["labels"]] == ["good", "long"]
    back = replace(job, inputs=(job.output,), output=str(tmp_path / "out.csv"), overwrite=True)
    back = replace(back, mapping=ColumnMapping(prefix="second_"))
    assert spark_run.run(back).rows_out == 3
    options = csv.ParseOptions(newlines_in_values=True)
    found = [csv.read_csv(p, parse_options=options) for p in (tmp_path / "out.csv").glob("chunk*")]
    again = pa.concat_tables(found).to_pylist()
    assert sorted(row["text"] for row in again) == sorted(texts)
    assert {row["label"] == row["second_label"] for row in again} == {True}
    assert [*map(len, map(json.loads, (row["labels"] for row in again)))] == [2, 2, 2]


BROKEN_CSV = """id,text
1,good day
2,good day,secret
3,bad,
4
5,"bad, day"
"""
CELLS = "invalid_body: the line has {} cells, and the table 2 columns"


def test_a_line_of_csv_with_too_many_or_too_few_cells_has_no_answer(
    spark: Any, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_text(BROKEN_CSV)
    job = ScoreJob((str(tmp_path / "in.csv"),), str(tmp_path / "out"), model)

    outcome = spark_run.run(job)

    assert (outcome.rows_in, outcome.rows_out, outcome.refused) == (5, 5, {"invalid_body": 2})
    rows = rows_in(tmp_path / "out")
    assert [(row["id"], row["label"], row["error"]) for row in rows] == [
        ("1", "good", None),
        ("2", None, CELLS.format(3)),
        ("3", "bad", None),
        ("4", None, CELLS.format(1)),
        ("5", "bad", None),
    ]
    assert [*rows[0]] == ["id", "text", "label", "score", "error"]


BROKEN_JSON = """{"id": 1, "text": "good day"}
{"id": 2, "text": "secret
["secret"]
{'id': 4, 'text': 'secret'}
"""


def test_a_line_that_is_no_json_object_has_no_answer(
    spark: Any, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.jsonl").write_text(BROKEN_JSON)
    job = ScoreJob((str(tmp_path / "in.jsonl"),), str(tmp_path / "out"), model)

    outcome = spark_run.run(job)

    assert (outcome.rows_in, outcome.rows_out, outcome.refused) == (4, 4, {"invalid_body": 3})
    rows = dataset.dataset(tmp_path / "out").to_table().to_pylist()
    assert [*rows[0]] == ["id", "text", "label", "score", "error"]
    assert {(row["id"], row["text"], row["label"]) for row in rows} == {
        (1, "good day", "good"),
        (None, None, None),
    }
    assert sorted(row["error"] for row in rows if row["error"]) == [
        "invalid_body: the line is not JSON: Expecting property name enclosed in double quotes",
        "invalid_body: the line is not JSON: Unterminated string starting at",
        "invalid_body: the line is not a JSON object",
    ]


@pytest.mark.parametrize(
    ("lines", "line", "told"),
    [
        (Lines(2), 'a,"b\n,""c""",,', ""),
        (Lines(2), "a,b,c,", "has 4 cells, and the table 2 columns"),
        (Lines(2), 'a,"b"c', "is not readable as CSV: ',' expected after '\"'"),
        (Lines(3, "\t", quotes=False), '"a\tb', "has 2 cells, and the table 3 columns"),
        (Lines(), "[" * 100_000, "is not JSON: it cannot be read"),
        (Lines(), '{"a": 1}', "is JSON that Spark cannot read"),
    ],
)
def test_a_broken_line_is_told(lines: Lines, line: str, told: str) -> None:
    found = lines.fault(line)
    assert found.startswith(told) and bool(found) == bool(told)


def test_the_columns_of_folders_are_not_in_the_lines() -> None:
    from pyspark.sql.types import StructType

    columns = StructType.fromDDL(f"x string, text string, day int, {BROKEN} string")
    within = Table("csv", reading={"basePath": "in/x=1/", "sep": ";", "quote": ""})
    for table, cells in ((within, 2), (Table("csv"), 3)):
        found = spark_tables._lines(columns, table, "file:/in/x=1/day=2/in.csv")
        assert found is not None
        assert found.cells == cells
    assert spark_tables._lines(columns, within, "in.csv") == Lines(3, ";", quotes=False)


def test_files_of_commas_and_of_tabs_are_not_read_by_one_rule(
    spark: Any, model: Path, tmp_path: Path
) -> None:
    (tmp_path / "a.csv").write_text("text\ngood\n")
    (tmp_path / "b.tsv.gz").write_bytes(gzip.compress(b"text\nbad\n"))
    job = ScoreJob((str(tmp_path / "*.*"),), str(tmp_path / "out"), model)
    with pytest.raises(UsageError, match=r"a\.csv has commas .*/b\.tsv\.gz tabs .*apart"):
        spark_run.run(job)


def test_timestamps_in_nanoseconds_are_told_with_what_helps(
    spark: Any, model: Path, tmp_path: Path
) -> None:
    when = pa.array([7], pa.timestamp("ns"))
    parquet.write_table(pa.table({"text": ["good"], "when": when}), tmp_path / "in.parquet")
    job = ScoreJob((str(tmp_path / "in.parquet"),), str(tmp_path / "out"), model)
    with pytest.raises(UsageError, match=r"nanoseconds.* --conf [\w.]+nanosAsLong=true$") as told:
        spark_run.run(job)
    assert not (tmp_path / "out").exists()
    name, _, value = str(told.value).rpartition("--conf ")[2].partition("=")
    spark.conf.set(name, value)
    try:
        assert spark_run.run(job).rows_out == 1
    finally:
        spark.conf.unset(name)
    assert dataset.dataset(tmp_path / "out").to_table()["when"].to_pylist() == [7]


def test_pictures_are_rows_of_their_paths(spark: Any, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    for name, content in (
        ("a/red.png", picture((200, 10, 10))),
        ("blue[1].png", picture((10, 10, 200))),
        ("broken.png", b"no picture"),
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    model = tiny.image_classification(tmp_path / "model")

    outcome = spark_run.run(ScoreJob((str(folder),), str(tmp_path / "out"), model))

    assert (outcome.rows_out, outcome.refused) == (3, {"invalid_image": 1})
    rows = dataset.dataset(tmp_path / "out").to_table().to_pylist()
    assert {row["path"].rpartition("/")[2]: row["label"] for row in rows} == {
        "red.png": "red",
        "blue[1].png": "blue",
        "broken.png": None,
    }
    assert "image" not in rows[0]


@pytest.mark.spark
def test_a_partitioned_table_keeps_the_columns_of_its_folders(
    spark: Any, model: Path, tmp_path: Path
) -> None:
    for day in (1, 2):
        (tmp_path / "in" / f"day={day}").mkdir(parents=True)
        rows = pa.table({"id": [day], "text": ["good"]})
        parquet.write_table(rows, tmp_path / "in" / f"day={day}" / "rows.parquet")
    job = ScoreJob((str(tmp_path / "in"),), str(tmp_path / "out"), model, chunk_mb=1e-6)
    assert spark_run.run(job).rows_out == 2
    assert [(row["id"], row["day"]) for row in rows_in(tmp_path / "out")] == [(1, 1), (2, 2)]


@pytest.mark.spark
def test_a_csv_file_without_names_gets_them(spark: Any, model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("7;good\n8;bad\n", encoding="latin-1")
    text = TextFormat("latin-1", ";", ("id", "text"))
    job = ScoreJob((str(tmp_path / "in.csv"),), str(tmp_path / "out"), model, text=text)
    assert spark_run.run(job).rows_out == 2
    assert [(row["id"], row["label"]) for row in rows_in(tmp_path / "out")] == [
        ("7", "good"),
        ("8", "bad"),
    ]
    with pytest.raises(UsageError, match="--header has 3 names, and the files 2 columns"):
        names = TextFormat("latin-1", ";", ("id", "text", "more"))
        spark_run.run(replace(job, text=names, overwrite=True))


def test_the_command_scores_by_spark(spark: Any, model: Path, table: Path, tmp_path: Path) -> None:
    words = ["score", str(table), str(tmp_path / "out"), "--model", str(model)]
    told = CliRunner().invoke(cli, [*words, "--engine", "spark", "--output", "json"])
    assert told.exit_code == 0, told.output
    outcome = json.loads(told.stdout)
    assert (outcome["rows_in"], outcome["rows_out"], outcome["answered"]) == (6, 6, 4)
    assert len(rows_in(tmp_path / "out")) == 6


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["--master", "local[2]"], "--master is of --engine spark or ray, not local"),
        (["--conf", "a=b"], "--conf is of --engine spark, not local"),
        (["--engine", "spark", "--conf", "a"], "--conf a: expected NAME=VALUE"),
        (["--engine", "spark", "--processes", "2"], "--processes is of --engine local"),
    ],
)
def test_flags_of_another_engine_are_refused(given: list[str], told: str, model: Path) -> None:
    done = CliRunner().invoke(cli, ["score", "in", "out", "--model", str(model), *given])
    assert (done.exit_code, told in done.output) == (2, True), done.output


def test_a_cluster_that_is_not_there_is_told(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyspark.sql import SparkSession

    monkeypatch.setattr(SparkSession, "getActiveSession", lambda: None)
    job = ScoreJob(("x",), "y", model, master="sc://127.0.0.1")
    with pytest.raises(UsageError, match="score_dataframe"):
        spark_run.run(job)

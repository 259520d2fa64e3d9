"""`onnxferry score`: every row of a file comes out, with all that it had, its answer or its
error."""

from __future__ import annotations

import bz2
import csv
import gzip
import json
import lzma
from collections.abc import Callable
from datetime import datetime, timezone
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from onnxferry.scripts.score.formats.text_file import has_tabs
from tests import tiny
from tests.scoring.test_image_classification import picture
from tests.scripts.score_runs import refusal, score, scored, table

TEXTS = ["good day", "bad", None, "very good", "[literally]"]
LABELS = ["good", "bad", None, "good", "bad"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("model"))


def as_csv(path: Path, texts: list[str | None]) -> None:
    lines = [f'{i:03},"{text or ""}"\n' for i, text in enumerate(texts)]
    path.write_text("id,text\n" + "".join(lines))


def as_json_lines(path: Path, texts: list[str | None]) -> None:
    rows = [{"id": f"{i:03}", "text": text} for i, text in enumerate(texts)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def as_parquet(path: Path, texts: list[str | None]) -> None:
    ids = [f"{i:03}" for i in range(len(texts))]
    parquet.write_table(pa.table({"id": ids, "text": texts}), path)


WRITE: dict[str, Callable[[Path, list[str | None]], None]] = {
    "in.csv": as_csv,
    "in.jsonl": as_json_lines,
    "in.parquet": as_parquet,
}


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
@pytest.mark.parametrize("name", WRITE)
def test_every_format_becomes_every_other(
    name: str, suffix: str, model: Path, tmp_path: Path
) -> None:
    WRITE[name](tmp_path / name, TEXTS)
    out = tmp_path / f"out{suffix}"

    said = scored(tmp_path / name, out, "--model", model)

    assert (said["rows_in"], said["rows_out"], said["answered"]) == (5, 5, 4)
    assert said["refused"] == {"invalid_type": 1}
    found = table(out)
    assert list(found) == ["id", "text", "label", "score", "error"]
    assert found["id"] == ["000", "001", "002", "003", "004"]
    assert found["text"] == TEXTS
    assert found["label"] == LABELS
    assert [bool(error) for error in found["error"]] == [False, False, True, False, False]
    assert {path.name for path in tmp_path.iterdir()} == {name, out.name}


def test_a_run_tells_what_it_did(model: Path, tmp_path: Path) -> None:
    as_csv(tmp_path / "in.csv", TEXTS)
    result = score(tmp_path / "in.csv", tmp_path / "out.csv", "--model", model)
    assert result.exit_code == 0
    assert "out.csv: 5 rows in, 5 out" in result.stdout
    assert "4 answered, 1 refused: invalid_type 1" in result.stdout


def test_parameters_go_with_every_row(model: Path, tmp_path: Path) -> None:
    as_csv(tmp_path / "in.csv", TEXTS)
    out = tmp_path / "out.jsonl"
    scored(tmp_path / "in.csv", out, "--model", model, "--set", "top_k=2")
    assert [one["label"] for one in table(out)["labels"][0]] == ["good", "long"]


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("top=2", "expected NAME=VALUE; text-classification takes"),
        ("top_k", "expected NAME=VALUE"),
        ("top_k=two", "--set top_k=two: expected a whole number"),
        ("return_all_scores=1", "expected true or false"),
    ],
)
def test_wrong_parameters_are_refused_before_any_row(
    setting: str, message: str, model: Path, tmp_path: Path
) -> None:
    as_csv(tmp_path / "in.csv", TEXTS)
    out = tmp_path / "out.csv"
    assert message in refusal(tmp_path / "in.csv", out, "--model", model, "--set", setting)


def test_a_list_is_a_parameter_too(tmp_path: Path) -> None:
    model = tiny.zero_shot_classification(tmp_path / "model")
    as_csv(tmp_path / "in.csv", ["good day"])
    labels = []
    for i, text in enumerate(("bad, good", '["bad", "good"]')):
        out = tmp_path / f"{i}.jsonl"
        scored(tmp_path / "in.csv", out, "--model", model, "--set", f"candidate_labels={text}")
        labels.append(table(out)["labels"])
    assert sorted(labels[0][0]) == ["bad", "good"]
    assert labels[0] == labels[1]


def test_columns_of_other_names_are_mapped(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("body,label\ngood day,3\n")
    words: list[Any] = [tmp_path / "in.csv", tmp_path / "out.csv", "--model", model]
    assert "there is no column 'text' or 'inputs'" in refusal(*words)
    assert "--column txt=body: expected MODEL_COLUMN=INPUT" in refusal(
        *words, "--column", "txt=body"
    )
    assert "column(s) 'label' itself" in refusal(*words, "--column", "text=body")

    scored(*words, "--column", "text=body", "--prefix", "predicted_")

    found = table(tmp_path / "out.csv")
    assert (found["label"], found["predicted_label"]) == (["3"], ["good"])


@pytest.mark.parametrize("name", ["in.tsv", "IN.TSV"])
def test_goemotions_file_without_a_header_is_read(name: str, model: Path, tmp_path: Path) -> None:
    """Its texts begin with quotes that do not end, and a .tsv file has no quotes."""
    (tmp_path / name).write_text('"good day\t25\teecw\nbad "day"\t0\ted5f\n')
    header = ["--header", "text,labels,id"]
    scored(tmp_path / name, tmp_path / "out.csv", "--model", model, *header)
    found = table(tmp_path / "out.csv")
    assert found["text"] == ['"good day', 'bad "day"']
    assert found["label"] == ["good", "bad"]


@pytest.mark.parametrize(
    ("name", "tabs"),
    [("a.tsv", True), ("s3a://b/A.TSV.bz2", True), ("a.tsv.csv", False), ("tsv", False)],
)
def test_a_files_name_tells_of_tabs(name: str, tabs: bool) -> None:
    assert has_tabs(name) is tabs


def test_long_cells_are_read_and_the_limit_of_the_process_stays(
    model: Path, tmp_path: Path
) -> None:
    """An endpoint's core in the same process goes on refusing what its container refuses."""
    before, long = csv.field_size_limit(), "good " * 40_000
    (tmp_path / "in.csv").write_text(f"text\n{long}\n", encoding="utf-8")
    scored(tmp_path / "in.csv", tmp_path / "out.csv", "--model", model)
    assert csv.field_size_limit() == before


def test_csv_cells_stay_as_they_are(model: Path, tmp_path: Path) -> None:
    """Also where later rows are of another type, in the bytes of any system."""
    rows = ["007,1,good", '1e5,x,"a ""bad"", day\r\nnext"', "NA,,é", ",nan,", "+49,2026-01-01,"]
    (tmp_path / "in.csv").write_bytes(
        "\ufeffid,note,text\r\n".encode() + "\r\n".join(rows).encode()
    )
    for suffix in (".csv", ".parquet", ".jsonl"):
        out = tmp_path / f"out{suffix}"
        said = scored(tmp_path / "in.csv", out, "--model", model)
        assert said["rows_out"] == 5
        found = table(out)
        assert found["id"] == ["007", "1e5", "NA", None, "+49"]
        assert found["note"] == ["1", "x", None, "nan", "2026-01-01"]
        assert found["text"] == ["good", 'a "bad", day\r\nnext', "é", None, None]


@pytest.mark.parametrize(
    ("encoding", "flags"),
    [("cp1252", ["--encoding", "cp1252"]), ("utf-16", ["--encoding", "utf-16"]), ("utf-8-sig", [])],
)
def test_other_encodings_are_read_where_they_are_named(
    encoding: str, flags: list[str], model: Path, tmp_path: Path
) -> None:
    (tmp_path / "in.csv").write_bytes("text;id\nbad naïve café;1\n".encode(encoding))
    words: list[Any] = [
        tmp_path / "in.csv",
        tmp_path / "out.csv",
        "--model",
        model,
        "--delimiter",
        ";",
    ]
    if flags:
        assert "is not utf-8 text (byte 0x" in refusal(*words)
        assert not (tmp_path / "out.csv.partial").exists()
    scored(*words, *flags)
    assert table(tmp_path / "out.csv")["text"] == ["bad naïve café"]


@pytest.mark.parametrize(
    ("suffix", "packed"), [(".gz", gzip.open), (".bz2", bz2.open), (".xz", lzma.open)]
)
def test_packed_text_is_read_and_written(
    suffix: str, packed: Callable[..., Any], model: Path, tmp_path: Path
) -> None:
    with packed(tmp_path / f"in.csv{suffix}", "wt") as file:
        file.write("text\ngood day\nbad\n")
    scored(tmp_path / f"in.csv{suffix}", tmp_path / f"out.csv{suffix}", "--model", model)
    with packed(tmp_path / f"out.csv{suffix}", "rt") as file:
        assert len(file.readlines()) == 3
    cut = (tmp_path / f"in.csv{suffix}").read_bytes()[:-9]
    (tmp_path / f"cut.csv{suffix}").write_bytes(cut)
    said = refusal(tmp_path / f"cut.csv{suffix}", tmp_path / "cut.csv", "--model", model)
    assert "cannot be unpacked" in said


def test_rows_that_are_broken_are_rows(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,text\n1,good\n2\n\n3,good,day\n4,bad,,\n")
    said = scored(tmp_path / "in.csv", tmp_path / "out.csv", "--model", model)
    found = table(tmp_path / "out.csv")
    assert said["refused"] == {"invalid_body": 2}
    assert found["id"] == ["1", "2", "3", "4"]
    assert found["label"] == ["good", None, None, "bad"]
    assert found["error"][1] == "invalid_body: line 3 has 1 cells, and the table 2 columns"
    assert found["error"][2] == "invalid_body: line 5 has 3 cells, and the table 2 columns"

    lines = ['{"text": "good"}', "{", "7", "", '{"text": "\\ud800"}', '{"text": 5}', "{}"]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    said = scored(tmp_path / "in.jsonl", tmp_path / "out.parquet", "--model", model)
    assert said["refused"] == {"invalid_body": 3, "invalid_type": 2}
    found = table(tmp_path / "out.parquet")
    assert found["text"] == ["good", None, None, None, "5", None]
    assert found["error"][1].startswith("invalid_body: line 2 is not JSON: ")
    assert found["error"][2] == "invalid_body: line 3 is not a JSON object"
    assert found["error"][3] == "invalid_body: line 5 holds half of a character"


def test_a_quote_that_does_not_end_swallows_no_rows(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text('text\ngood\n"bad\ngood\n')
    said = refusal(tmp_path / "in.csv", tmp_path / "out.csv", "--model", model)
    assert "in.csv: not readable as CSV: line 4: unexpected end of data" in said


def test_values_of_json_lines_come_back_as_they_were(model: Path, tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [
        {"text": "good", "id": 1234567890123456789, "x": 1.5, "m": {"a": [1, None]}, "t": "007"},
        {"text": "bad", "id": 2, "x": None, "m": [], "t": 7, "big": 10**30, "line": "\u2028"},
        {"text": "good", "id": -3, "x": 2.5, "m": "text", "t": None, "big": 0.1, "line": "é\n"},
    ]
    (tmp_path / "in.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    scored(tmp_path / "in.jsonl", tmp_path / "out.jsonl", "--model", model)
    lines = (tmp_path / "out.jsonl").read_text().split("\n")
    for row, line in zip(rows, lines, strict=False):
        found = json.loads(line)
        assert {name: found[name] for name in row} == row
    scored(tmp_path / "in.jsonl", tmp_path / "out.parquet", "--model", model)
    found = table(tmp_path / "out.parquet")
    assert found["id"] == [1234567890123456789, 2, -3]
    assert found["m"] == ['{"a": [1, null]}', "[]", "text"]
    assert found["t"] == ["007", "7", None]


def test_a_json_array_is_no_json_lines(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.json").write_text('[{"text": "good"}]')
    assert "holds a JSON array" in refusal(
        tmp_path / "in.json", tmp_path / "out.csv", "--model", model
    )


def columns_of_all_types() -> pa.Table:
    now = datetime(2026, 1, 2, 3, 4, 5, 678901, timezone.utc)
    return pa.table(
        {
            "text": ["good", "bad"],
            "ns": pa.array([1, None], pa.timestamp("ns")),
            "zone": pa.array([now, None], pa.timestamp("us", "Europe/Berlin")),
            "amount": pa.array([Decimal("1.10"), None]),
            "kind": pa.array(["a", None]).dictionary_encode(),
            "nested": [{"a": [1, 2], "when": now}, None],
            "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int8())),
            "bytes": [b"\x00\xff", None],
            "wide": pa.array(["x", None], pa.large_string()),
            "unsigned": pa.array([2**64 - 1, None], pa.uint64()),
            "took": pa.array([5, None], pa.duration("s")),
            "nothing": [None, None],
            "nan": [float("nan"), None],
            "": [True, None],
        }
    )


def test_parquet_columns_of_all_types_are_kept(model: Path, tmp_path: Path) -> None:
    given = columns_of_all_types()
    parquet.write_table(given, tmp_path / "in.parquet")
    given = parquet.read_table(tmp_path / "in.parquet")

    scored(tmp_path / "in.parquet", tmp_path / "out.parquet", "--model", model)

    found = parquet.read_table(tmp_path / "out.parquet")
    kept = found.select(given.column_names)
    assert kept.drop_columns("nan").equals(given.drop_columns("nan"))
    assert kept.schema.equals(given.schema)
    assert str(kept["nan"].to_pylist()) == "[nan, None]"


def test_columns_of_all_types_are_text_too(model: Path, tmp_path: Path) -> None:
    parquet.write_table(columns_of_all_types(), tmp_path / "in.parquet")
    expected = {
        "amount": "1.10",
        "kind": "a",
        "nested": {"a": [1, 2], "when": "2026-01-02T03:04:05.678901+00:00"},
        "map": [["k", 1]],
        "bytes": "AP8=",
        "unsigned": 2**64 - 1,
        "ns": "1970-01-01 00:00:00.000000001",
        "nan": None,
    }
    for suffix in (".csv", ".jsonl"):
        out = tmp_path / f"out{suffix}"
        scored(tmp_path / "in.parquet", out, "--model", model)
        found = {name: cells[0] for name, cells in table(out).items()}
        if suffix == ".csv":
            assert found["nan"] == "nan"
            found |= {name: json.loads(found[name]) for name in ("nested", "map", "unsigned")}
            found["nan"] = None
        assert {name: found[name] for name in expected} == expected


def test_times_of_spark_stay_what_spark_can_read(model: Path, tmp_path: Path) -> None:
    """It writes INT96, and reads no nanoseconds."""
    when = datetime(2026, 1, 2, 3, 4, 5, 678901)
    given = pa.table({"text": ["good"], "when": pa.array([when], pa.timestamp("us"))})
    parquet.write_table(given, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True)
    scored(tmp_path / "in.parquet", tmp_path / "out.parquet", "--model", model)
    assert parquet.read_table(tmp_path / "out.parquet").select(["text", "when"]).equals(given)


def test_files_of_a_folder_are_one_table(model: Path, tmp_path: Path) -> None:
    """With the columns that only some have, and those that are the folders' names."""
    folder = tmp_path / "in"
    (folder / "day=01").mkdir(parents=True)
    (folder / "day=__HIVE_DEFAULT_PARTITION__").mkdir()
    (folder / "_temporary").mkdir()
    for name in (
        "_SUCCESS",
        "._b.parquet",
        ".part.parquet.crc",
        "_temporary/0.parquet",
        "notes.txt",
    ):
        (folder / name).touch()
    parquet.write_table(pa.table({"text": ["good"], "n": [1]}), folder / "day=01" / "a.parquet")
    parquet.write_table(pa.table({"text": pa.array([], pa.string())}), folder / "b.parquet")
    last = folder / "day=__HIVE_DEFAULT_PARTITION__" / "c.parquet"
    parquet.write_table(pa.table({"text": [None, "bad"], "more": ["x", "y"]}), last)

    result = score(folder, tmp_path / "out.parquet", "--model", model)

    assert "2 of no known format passed over" in result.stderr
    found = table(tmp_path / "out.parquet")
    assert found["text"] == ["good", None, "bad"]
    assert found["n"] == [1, None, None]
    assert found["more"] == [None, "x", "y"]
    assert found["day"] == ["01", None, None]
    assert found["label"] == ["good", None, "bad"]


def test_several_files_are_read_in_the_order_given(model: Path, tmp_path: Path) -> None:
    for name in ("b.csv", "a.csv"):
        (tmp_path / name).write_text(f"text,of\ngood,{name}\n")
    scored(tmp_path / "b.csv", tmp_path / "a.csv", tmp_path / "out.csv", "--model", model)
    assert table(tmp_path / "out.csv")["of"] == ["b.csv", "a.csv"]


def test_a_column_of_two_types_is_refused_with_its_file(model: Path, tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", "1")):
        parquet.write_table(pa.table({"text": ["x"], "n": [value]}), tmp_path / f"{name}.parquet")
    files = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    said = refusal(*files, tmp_path / "out.parquet", "--model", model)
    assert "b.parquet: column 'n' is of type string, and int64 in a file before" in said


@pytest.mark.parametrize("name", ["in.csv", "in.jsonl", "in.parquet"])
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_no_rows_are_no_error(name: str, suffix: str, model: Path, tmp_path: Path) -> None:
    WRITE[name](tmp_path / name, [])
    if name == "in.parquet":
        empty = pa.table({"text": pa.array([], pa.string())})
        parquet.write_table(empty, tmp_path / name)
    out = tmp_path / f"out{suffix}"
    said = scored(tmp_path / name, out, "--model", model)
    assert (said["rows_in"], said["rows_out"]) == (0, 0)
    if suffix != ".jsonl":
        assert {"text", "label", "error"} <= set(table(out))
    assert out.exists()


def test_a_file_of_no_bytes_is_a_table_of_no_rows(model: Path, tmp_path: Path) -> None:
    (tmp_path / "in.csv").touch()
    assert scored(tmp_path / "in.csv", tmp_path / "out.csv", "--model", model)["rows_out"] == 0


def test_pictures_of_a_folder_are_rows_with_their_paths(tmp_path: Path) -> None:
    model = tiny.image_classification(tmp_path / "model")
    folder = tmp_path / "in" / "more"
    folder.mkdir(parents=True)
    (folder / "red.png").write_bytes(picture((200, 10, 10)))
    (folder.parent / "blue.PNG").write_bytes(picture((10, 10, 200)))
    (folder.parent / "_MG_0001.png").write_bytes(picture((10, 200, 10)))  # a camera's name
    (folder.parent / "cut.jpg").write_bytes(b"\xff\xd8\xff")
    (folder.parent / "._blue.png").write_bytes(b"of a system")
    (folder / "gone.png").symlink_to(folder / "nowhere.png")

    said = scored(folder.parent, tmp_path / "out.csv", "--model", model, "--set", "top_k=1")

    found = table(tmp_path / "out.csv")
    assert list(found) == ["path", "label", "score", "error"]
    assert found["path"] == ["_MG_0001.png", "blue.PNG", "cut.jpg", "more/gone.png", "more/red.png"]
    assert found["label"] == ["green", "blue", None, None, "red"]
    assert said["refused"] == {"invalid_image": 2}
    unread = "invalid_image: the file cannot be read: No such file or directory"
    assert found["error"][3] == unread


def test_no_answer_at_all_is_a_failure(model: Path, tmp_path: Path) -> None:
    as_csv(tmp_path / "in.csv", [None, None])
    result = score(tmp_path / "in.csv", tmp_path / "out.csv", "--model", model)
    assert result.exit_code == 1
    assert "no row has an answer; its column 'error' tells why" in result.stderr
    assert len(table(tmp_path / "out.csv")["error"]) == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["nowhere.csv", "out.csv"], "nowhere.csv: there is no such file"),
        (["in.csv", "out.txt"], "OUTPUT is one file, whose suffix is .parquet, .csv"),
        (["in.csv", "out.parquet.gz"], "OUTPUT is one file, whose suffix is"),
        (["in.csv", "folder.csv"], "folder.csv: is a folder; OUTPUT is one file"),
        (["in.csv", "there.csv"], "there.csv: exists; give another OUTPUT, or --overwrite"),
        (["in.csv", "in.csv", "--overwrite"], "in.csv: is an INPUT itself"),
        (["folder", "folder/out.csv"], "is inside INPUT"),
        (["in.txt", "out.csv"], "in.txt: the suffix tells no format"),
        (["folder.csv", "out.csv"], "holds no file of a known format"),
        (["in.csv", "in.parquet", "out.csv"], "holds files of CSV and Parquet"),
        (["in.parquet", "out.csv"], "in.parquet: not readable as Parquet"),
        (["delta", "out.csv"], "delta: is a Delta table"),
        (["twice.parquet", "out.csv"], "twice.parquet: "),
        (["s3://bucket/in.csv", "out.csv"], "--engine local reads paths of this machine"),
        (["twice.csv", "out.csv"], "twice.csv: more than one column is named 'id'"),
        (["in.csv", "out.csv", "--encoding", "utf-9"], "Python knows no such encoding"),
        (["in.csv", "out.csv", "--delimiter", ";;"], "--delimiter: expected one character"),
    ],
)
def test_what_cannot_be_scored_is_refused_and_nothing_is_left(
    given: list[str], message: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    as_csv(Path("in.csv"), TEXTS)
    Path("there.csv").write_text("text\n")
    Path("twice.csv").write_text("text,id,id\n")
    Path("in.txt").touch()
    Path("delta/_delta_log").mkdir(parents=True)
    names = [(name, pa.string()) for name in ("text", "id", "id")]
    parquet.write_table(pa.schema(names).empty_table(), "twice.parquet")
    Path("in.parquet").write_text("no Parquet")
    Path("folder.csv").mkdir()
    Path("folder").mkdir()
    as_csv(Path("folder/in.csv"), TEXTS)
    before = sorted(tmp_path.rglob("*"))
    assert message in refusal(*given, "--model", model)
    assert sorted(tmp_path.rglob("*")) == before

"""AzureML's batch.py, called as a batch job calls it: by the program that rehearses such jobs, here
in this Python, where what Microsoft's program imports is empty."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from onnxferry.scripts.package import Package, azureml_batch, package
from onnxferry.scripts.rehearse.runtime import HOSTS
from tests import tiny
from tests.packages import quick, quiet
from tests.scoring.test_image_classification import picture
from tests.targets.served import GOLDEN, HERE, prepared_tensors

SETTINGS: dict[str, Any] = azureml_batch.deployment("e", {})["settings"]


def packed(model: Path, folder: Path) -> Package:
    return package(model, quick("azureml"), out=folder / "build", python=HERE, report=quiet)


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Package:
    folder = tmp_path_factory.mktemp("texts")
    return packed(tiny.text_classification(folder / "model", golden=GOLDEN), folder)


def ran(script: Path, model: Path, data: Path, **settings: Any) -> subprocess.CompletedProcess[str]:
    """A job over the folder `data`, which writes data/../out."""
    modules = data.parent / "azureml"
    modules.mkdir(exist_ok=True)
    for name in ("__init__", "core", "dataprep"):
        (modules / f"{name}.py").touch()
    told = json.dumps({**SETTINGS, "mini_batch_size": 3, **settings})
    command = [sys.executable, HOSTS / "azureml_batch.py", script, model, told, data]
    return subprocess.run(
        [*map(str, command), str(data.parent / "out")],
        env={**os.environ, "PYTHONPATH": str(data.parent)},
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )


def scored(built: Package, data: Path, **settings: Any) -> dict[str, list[dict[str, Any]]]:
    """The rows of each file, which came in any order of files."""
    done = ran(built.path / "code" / "batch.py", built.path / "model", data, **settings)
    assert done.returncode == 0, done.stderr
    found: dict[str, list[dict[str, Any]]] = {}
    for line in (data.parent / "out" / azureml_batch.ANSWERS).read_text().splitlines():
        row = json.loads(line)
        found.setdefault(row["file"], []).append(row)
    return found


def test_each_row_of_each_file_has_its_row_whatever_is_wrong_with_others(
    texts: Package, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    (data / "sub").mkdir(parents=True)
    table = pa.table({"text": ["good day", None, "bad day"] * 300, "other": [1.5, 2.5, 3.5] * 300})
    parquet.write_table(table, data / "sub" / "a.parquet")
    (data / "a.jsonl").write_text('"good day"\nnope\n"bad day"\n')
    (data / "sub" / "a.jsonl").write_text('"good day"\n')
    (data / "b.csv").write_text("text\ngood day\n")
    (data / "c.json").write_bytes(GOLDEN.request.body)
    (data / "wrong.parquet").write_bytes(b"PAR1")
    parquet.write_table(pa.table({"body": ["good day"]}), data / "column.parquet")
    for name in ("empty.jsonl", "notes.txt", "broken.png"):
        (data / name).touch()

    found = scored(texts, data, max_concurrency_per_instance=2)

    assert {name: len(rows) for name, rows in found.items()} == {
        "sub/a.parquet": 900,
        "a.jsonl": 3,
        "sub/a.jsonl": 1,
        "b.csv": 1,
        "c.json": 1,
        **dict.fromkeys(("wrong.parquet", "column.parquet", "empty.jsonl"), 1),
        **dict.fromkeys(("notes.txt", "broken.png"), 1),
    }
    good, nope, bad = found["a.jsonl"]
    assert found["b.csv"][0]["answer"] == found["sub/a.jsonl"][0]["answer"] == good["answer"]
    assert found["c.json"][0]["answer"] == GOLDEN.answer == [good["answer"]]
    assert nope["error"]["code"] == "invalid_body"
    rows = found["sub/a.parquet"]
    assert [row["row"] for row in rows] == [*range(900)]
    assert [row["answer"] for row in rows] == [good["answer"], None, bad["answer"]] * 300
    assert "there is no column 'text'" in found["column.parquet"][0]["error"]["message"]
    assert "not readable as Parquet" in found["wrong.parquet"][0]["error"]["message"]


def test_pictures_in_files_and_in_parquet_get_the_same_answer(tmp_path: Path) -> None:
    built = packed(tiny.image_classification(tmp_path / "model"), tmp_path)
    data, image = tmp_path / "data", picture((200, 30, 30))
    data.mkdir()
    (data / "a.png").write_bytes(image)
    told = [{"bytes": image, "path": "a.png"}, {"bytes": b"no picture", "path": "b.png"}]
    parquet.write_table(pa.table({"image": told}), data / "a.parquet")
    parquet.write_table(pa.table({"image": [image]}), data / "b.parquet")

    found = scored(built, data)

    answer = found["a.png"][0]["answer"]
    assert answer is not None
    assert [row["answer"] for row in found["a.parquet"]] == [answer, None]
    assert found["b.parquet"][0]["answer"] == answer


def test_arrays_in_parquet_are_answered_as_json_lines_of_them(tmp_path: Path) -> None:
    model = prepared_tensors(tmp_path / "model")
    columns: dict[str, list[Any]] = {
        "x": [[float(i), i + 0.5] for i in range(3)],
        "k": [[i] for i in range(3)],
    }
    data = tmp_path / "data"
    data.mkdir()
    parquet.write_table(pa.table(columns), data / "a.parquet")
    lines = [{name: [column[i]] for name, column in columns.items()} for i in range(3)]
    (data / "a.jsonl").write_text("".join(json.dumps({"inputs": line}) + "\n" for line in lines))

    found = scored(packed(model, tmp_path), data)

    alone = [{name: array[0] for name, array in row["answer"].items()} for row in found["a.jsonl"]]
    assert [row["answer"] for row in found["a.parquet"]] == alone


SCRIPT = """
import os
from pathlib import Path
def init():
    with (Path(os.environ["AZUREML_MODEL_DIR"]) / "inits").open("a") as f:
        f.write(f"{os.getpid()}\\n")
def run(mini_batch):
    with (Path(os.environ["AZUREML_MODEL_DIR"]) / "runs").open("a") as f:
        f.write(f"{len(mini_batch)}\\n")
    %s
"""


def job(folder: Path, body: str, **settings: Any) -> tuple[int, str, Sequence[str]]:
    """The exit code, the errors, and the output of 7 files scored by `body`."""
    data = folder / "data"
    data.mkdir()
    for i in range(7):
        (data / f"{i}.jsonl").touch()
    (folder / "script.py").write_text(SCRIPT % body)
    done = ran(folder / "script.py", folder, data, **settings)
    out = folder / "out" / azureml_batch.ANSWERS
    lines = out.read_text().splitlines() if out.exists() else []
    return done.returncode, done.stderr, lines


def test_the_host_calls_init_once_a_process_and_run_once_a_mini_batch(tmp_path: Path) -> None:
    body = "return [Path(path).name for path in mini_batch]"

    code, _, lines = job(tmp_path, body)

    assert (code, sorted(lines)) == (0, [f"{i}.jsonl" for i in range(7)])
    assert len((tmp_path / "inits").read_text().splitlines()) == 1
    assert sorted((tmp_path / "runs").read_text().split()) == ["1", "3", "3"]


@pytest.mark.parametrize(
    ("body", "failed"), [("return None", 3), ("return []", 3), ("return mini_batch[:1]", 2)]
)
def test_the_host_counts_what_has_failed_against_error_threshold(
    tmp_path: Path, body: str, failed: int
) -> None:
    """A run() that gives no list is tried again; one that gives too little is not."""
    retries = {"max_retries": 1, "timeout": 60}

    code, error, lines = job(tmp_path, body, error_threshold=0, retry_settings=retries)

    assert (code, lines) == (1, [])
    assert ("run() must return a list, and gave NoneType" in error) == (body == "return None")
    assert f"JobError: {failed} file(s) failed, and error_threshold is 0" in error


def test_the_host_ends_no_job_for_failures_that_are_allowed(tmp_path: Path) -> None:
    body = "return mini_batch if mini_batch[1:] else 1 / 0"
    none = {"max_retries": 0, "timeout": 60}

    code, _, lines = job(tmp_path, body, error_threshold=1, retry_settings=none)

    assert (code, len(lines)) == (0, 6)

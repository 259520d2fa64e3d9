"""A run of `onnxferry score` that ends at any moment is gone on with: every row comes out, once."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from pyarrow import parquet

from onnxferry.scripts.score import arrow_batches, checkpoint, local, row_stream
from onnxferry.scripts.score.checkpoint import Checkpoint
from onnxferry.scripts.score.formats import reading
from tests import tiny
from tests.eventually import eventually
from tests.scripts.score_runs import refusal, score, scored, table

ROOT = Path(__file__).parents[2]
ANSWERS = "onnxferry.scripts.score.processes.score_batch"
ROWS, TOGETHER = 50, 8
BATCHES = -(-ROWS // TOGETHER)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("model"))


@pytest.fixture(autouse=True)
def _small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of a few rows a part."""
    monkeypatch.setattr(local, "SECONDS", 0.0)
    monkeypatch.setattr(reading, "BATCH_ROWS", TOGETHER)
    monkeypatch.setattr(row_stream, "BATCH_ROWS", TOGETHER)


def write_csv(path: Path, rows: int = ROWS) -> Path:
    texts = ("good day", "bad", "", '"very, good"')
    lines = (f"{i},{texts[i % len(texts)]}\n" for i in range(rows))
    path.write_text("id,text\n" + "".join(lines))
    return path


def failing(
    whole: Callable[..., Any], at: int, error: BaseException, *, after: bool = False
) -> Callable[..., Any]:
    """`whole`, whose call `at` fails, before it does anything or after."""
    calls = iter(range(10**6))

    def call(*args: Any, **kwargs: Any) -> Any:
        fails = next(calls) == at
        if fails and not after:
            raise error
        found = whole(*args, **kwargs)
        if fails:
            raise error
        return found

    return call


@pytest.mark.parametrize("suffix", [".csv", ".jsonl.gz", ".parquet"])
@pytest.mark.parametrize("at", [0, 1, BATCHES - 1])
def test_a_run_that_ends_early_is_gone_on_with(
    at: int, suffix: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[Any] = [write_csv(tmp_path / "in.csv"), tmp_path / f"out{suffix}", "--model", model]
    scored(words[0], tmp_path / f"whole{suffix}", *words[2:])
    with monkeypatch.context() as patched:
        patched.setattr(ANSWERS, failing(arrow_batches.score_batch, at, KeyboardInterrupt()))
        result = score(*words)
    assert result.exit_code == 1
    said = f"{at * TOGETHER} rows are kept in {words[1]}.partial; run the same command again"
    assert (said in result.stderr) == bool(at)
    assert Path(f"{words[1]}.partial").exists() == bool(at)  # nothing is left of nothing
    assert not Path(words[1]).exists()

    result = score(*words)

    assert result.exit_code == 0
    if at:
        assert f"goes on behind the {at * TOGETHER} rows" in result.stderr
        assert f"{ROWS} rows in, {ROWS} out, {at * TOGETHER} of them before" in result.stdout
    assert "38 answered, 12 refused" in result.stdout
    if suffix == ".csv":
        assert Path(words[1]).read_bytes() == (tmp_path / f"whole{suffix}").read_bytes()
    if suffix == ".parquet":
        assert table(Path(words[1])) == table(tmp_path / f"whole{suffix}")
    assert not Path(f"{words[1]}.partial").exists()


_TOO_FULL = OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    ("owner", "name", "at"),
    [
        (checkpoint, "replacing", 0),
        (checkpoint, "_to_disk", 0),  # of a part
        (checkpoint, "_to_disk", 3),  # of the log of parts
        (Checkpoint, "finish", 1),
        (local, "put", 0),
        (checkpoint, "_remove", 0),
    ],
)
def test_a_failure_between_any_two_steps_costs_nothing(  # noqa: PLR0917
    owner: Any,
    name: str,
    at: int,
    after: bool,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    words: list[Any] = [write_csv(tmp_path / "in.csv"), tmp_path / "out.csv", "--model", model]
    scored(words[0], tmp_path / "whole.csv", *words[2:])
    with monkeypatch.context() as patched:
        broken = failing(getattr(owner, name), at, _TOO_FULL, after=after)
        patched.setattr(owner, name, broken)
        result = score(*words)
    assert result.exit_code == 1
    assert "error: No space left on device" in result.stderr

    there = Path(words[1]).exists()  # it was put in its place, and what was to come was not
    assert score(*words, *(["--overwrite"] if there else [])).exit_code == 0

    assert Path(words[1]).read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert {p.name for p in tmp_path.iterdir()} == {"in.csv", "out.csv", "whole.csv"}


def test_a_line_that_a_kill_has_cut_is_not_counted(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[Any] = [write_csv(tmp_path / "in.csv"), tmp_path / "out.csv", "--model", model]
    with monkeypatch.context() as patched:
        patched.setattr(ANSWERS, failing(arrow_batches.score_batch, 3, KeyboardInterrupt()))
        score(*words)
    log = tmp_path / "out.csv.partial" / "done.jsonl"
    log.write_bytes(log.read_bytes()[:-9])
    assert scored(*words)["resumed"] == 2 * TOGETHER
    assert table(tmp_path / "out.csv")["id"] == [str(i) for i in range(ROWS)]


@pytest.mark.parametrize("change", ["input", "model", "parameters", "columns", "form of text"])
def test_another_run_is_not_gone_on_with(
    change: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_csv(tmp_path / "in.csv"), tmp_path / "out.csv"
    with monkeypatch.context() as patched:
        patched.setattr(ANSWERS, failing(arrow_batches.score_batch, 2, KeyboardInterrupt()))
        score(source, out, "--model", model)
    words: list[Any] = [source, out, "--model", model]
    if change == "input":
        os.utime(source, ns=(1, 1))
    elif change == "model":
        words[-1] = tiny.text_classification(tmp_path / "other", "multi_label_classification")
    else:
        flags = {"parameters": ["--set", "top_k=2"], "columns": ["--prefix", "p_"]}
        words += flags.get(change, ["--encoding", "latin-1"])

    said = refusal(*words)

    assert f"out.csv.partial: was begun with another {change}" in said
    assert "remove it to begin again, or give --overwrite" in said
    assert scored(*words, "--overwrite")["resumed"] == 0
    assert table(out)["id"] == [str(i) for i in range(ROWS)]


def test_an_output_is_replaced_once_the_new_one_is_whole(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words: list[Any] = [
        write_csv(tmp_path / "in.csv"),
        tmp_path / "out.csv",
        "--model",
        model,
        "--overwrite",
    ]
    (tmp_path / "out.csv").write_text("of before")
    with monkeypatch.context() as patched:
        patched.setattr(ANSWERS, failing(arrow_batches.score_batch, 2, KeyboardInterrupt()))
        score(*words)
    assert (tmp_path / "out.csv").read_text() == "of before"
    assert scored(*words)["resumed"] == 2 * TOGETHER
    assert len(table(tmp_path / "out.csv")["id"]) == ROWS


def test_a_folder_of_that_name_that_is_no_runs_is_kept(model: Path, tmp_path: Path) -> None:
    source, notes = write_csv(tmp_path / "in.csv"), tmp_path / "out.csv.partial" / "notes.txt"
    notes.parent.mkdir()
    notes.touch()
    said = refusal(source, tmp_path / "out.csv", "--model", model)
    assert "out.csv.partial: holds notes.txt, and no run of this command" in said
    assert notes.is_file()


def test_two_runs_do_not_write_one_output(model: Path, tmp_path: Path) -> None:
    source, out = write_csv(tmp_path / "in.csv"), tmp_path / "out.csv"
    with checkpoint.opened(tmp_path / "out.csv.partial", {}, anew=False):
        said = refusal(source, out, "--model", model)
    assert "out.csv.partial: another process is at it" in said


def test_an_input_that_changes_meanwhile_is_told(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, out = write_csv(tmp_path / "in.csv"), tmp_path / "out.csv"

    def appended(*args: Any) -> Any:
        found = whole(*args)
        with source.open("a") as file:
            file.write("x,good\n")
        return found

    whole = row_stream.surveyed
    monkeypatch.setattr(local, "surveyed", appended)
    result = score(source, out, "--model", model)
    assert result.exit_code == 1
    assert "50 rows were counted in the input, and 51 were scored: it has changed" in result.stderr
    assert not out.exists()


MANY = 600
_SLOW = """
import sys, time
from onnxferry.cli import main
from onnxferry.scripts.score import local, row_stream
from onnxferry.scripts.score.checkpoint import Checkpoint
from onnxferry.scripts.score.formats import reading
local.SECONDS, reading.BATCH_ROWS, row_stream.BATCH_ROWS = 0.0, 4, 4
next_file = Checkpoint.next_file
Checkpoint.next_file = lambda *given: time.sleep(0.05) or next_file(*given)
sys.argv = ["onnxferry", "score", *sys.argv[1:]]
main()
"""


def begun(*words: str | Path) -> subprocess.Popen[str]:
    """A run in a process of its own, in small parts, which are slow."""
    command = [sys.executable, "-c", _SLOW, *map(str, words)]
    return subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)


def parts(out: Path) -> int:
    log = Path(f"{out}.partial") / "done.jsonl"
    return len(log.read_bytes().splitlines()) if log.exists() else 0


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_process_that_is_killed_is_gone_on_with(
    number: signal.Signals, model: Path, tmp_path: Path
) -> None:
    words: list[Any] = [
        write_csv(tmp_path / "in.csv", MANY),
        tmp_path / "out.parquet",
        "--model",
        model,
    ]
    process = begun(*words)
    eventually(lambda: parts(tmp_path / "out.parquet") >= 5 or process.poll() is not None)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    done = parts(tmp_path / "out.parquet")
    assert process.returncode not in (0, None)
    assert 5 <= 4 * done < MANY
    assert "Traceback" not in said
    if number != signal.SIGKILL:
        assert f"{4 * done:,} rows are kept in" in said

    found = scored(*words)

    assert found["resumed"] == 4 * done
    assert found["rows_out"] == MANY
    assert table(tmp_path / "out.parquet")["id"] == [str(i) for i in range(MANY)]


def children(pid: int) -> list[int]:
    """The processes that score for a run."""
    found = psutil.Process(pid).children(recursive=True)
    return [p.pid for p in found if "resource_tracker" not in " ".join(p.cmdline())]


def runs(pid: int) -> bool:
    """Whether a process is there, and no zombie that nobody has waited for."""
    try:
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@pytest.mark.parametrize("killed", ["child", "parent"])
def test_a_process_of_several_that_dies_costs_no_row(
    killed: str, model: Path, tmp_path: Path
) -> None:
    source, out = write_csv(tmp_path / "in.csv", MANY), tmp_path / "out.csv"
    words: list[Any] = [source, out, "--model", model, "--processes", "2"]
    process = begun(*words)
    eventually(lambda: parts(out) >= 3 or process.poll() is not None)
    scoring = children(process.pid)
    assert len(scoring) == 2
    os.kill(scoring[0] if killed == "child" else process.pid, signal.SIGKILL)
    said = process.communicate(timeout=60)[1]
    assert eventually(lambda: not any(map(runs, scoring)))
    assert 3 <= parts(out) < MANY / 4
    if killed == "child":
        assert process.returncode == 1
        assert "a process that scores has died; where memory is short" in said
        assert "Traceback" not in said
        assert scored(*words[:4])["resumed"] >= 12
        scored(source, tmp_path / "one.csv", "--model", model)
        assert out.read_bytes() == (tmp_path / "one.csv").read_bytes()


def test_memory_does_not_grow_with_the_input(model: Path, tmp_path: Path) -> None:
    """Of one row group of 60 MB a few batches are held."""
    texts = [f"{i} " + "good " * 1500 for i in range(8000)]
    parquet.write_table(
        pa.table({"note": texts, "text": ["good"] * 8000}),
        tmp_path / "in.parquet",
        use_dictionary=False,
    )
    code = (
        "import sys; from pathlib import Path; from onnxferry.scripts.score import formats;"
        "from onnxferry.scripts.score.formats.reading import File;"
        "from onnxferry.scripts.score.job import TextFormat; import pyarrow as pa;"
        "file = File(Path(sys.argv[1]), ''); reader = formats.READERS['Parquet'];"
        "survey = reader.survey([file], TextFormat());"
        "rows = sum(r.batch.num_rows for r in reader.read(file, survey.schema, TextFormat()));"
        "print(rows, pa.default_memory_pool().max_memory())"
    )
    run = [sys.executable, "-c", code, str(tmp_path / "in.parquet")]
    done = subprocess.run(run, cwd=ROOT, capture_output=True, text=True, check=True)
    rows, peak = map(int, done.stdout.split())
    assert rows == 8000
    assert peak < 30e6

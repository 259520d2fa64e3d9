"""Many rows: the arithmetic of speeds and projections, what is refused, and engines that score
the rows of the same files. No figure is asserted that a clock has a say in."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from click.testing import CliRunner, Result
from mlflow.pyfunc import load_model

from examples import batch, models
from onnxferry.scripts.benchmark.batch import figures, report
from onnxferry.scripts.benchmark.batch.__main__ import command
from onnxferry.scripts.benchmark.engines.row_files import RowFiles
from onnxferry.scripts.benchmark.rounds import BenchmarkSettings, EngineResult, Round
from onnxferry.scripts.benchmark.specs import parse
from onnxferry.scripts.package.__main__ import command as package
from onnxferry.scripts.prepare import Options
from tests import tiny
from tests.scripts import checkpoints

TASK = "text-classification"


def measured(
    name: str, seconds: Sequence[float], *answers: str, first: float = 0, workers: int = 1
) -> EngineResult:
    """Of 360 rows a round."""
    spec = parse([f"spark:name={name},workers={workers}@."])[0]
    below = {"java": 7 << 20, "python": 9 << 20}
    rounds = tuple(Round((s,), s, 360, 5 << 20, below, s / 2) for s in seconds)
    told = tuple({"label": label} for label in answers)
    return EngineResult(spec, {"pyspark": "4"}, 2.0, rounds, told, first)


def test_a_speed_is_told_round_by_round_against_the_same_round_of_the_other() -> None:
    slow, fast = measured("slow", [10, 20, 40]), measured("fast", [5, 5, 4])
    assert figures.rate(slow) == 18
    assert figures.times_as_fast(fast, slow) == figures.Times(4, 2, 10)
    assert figures.times_less_cpu(fast, slow) == figures.Times(4, 2, 10)
    unknown = replace(slow, rounds=tuple(replace(r, cpu=0) for r in slow.rounds))
    assert figures.times_less_cpu(fast, unknown) is None


def test_start_is_the_load_and_what_the_first_time_took_longer() -> None:
    assert figures.start(measured("a", [3, 4, 5], first=10)) == 2 + 10 - 4
    assert figures.start(measured("a", [3, 4, 5], first=3)) == 2


def test_several_workers_are_compared_with_one_of_the_same_engine() -> None:
    one, two = measured("a", [10, 10]), measured("b", [5, 6.25], workers=2)
    found = [one, two]
    assert figures.alone(two, found) is one and figures.alone(one, found) is None
    assert figures.efficiency(one, found) == pytest.approx((2 + 1.6) / 2 / 2)
    assert figures.efficiency(one, [one]) is None


def test_many_rows_are_projected_from_the_speed_the_start_and_the_price() -> None:
    """10 rows a second, 8 s to start."""
    one, two = measured("a", [36, 36], first=42), measured("b", [22.5, 22.5], workers=2)
    alone = figures.projected(one, [one], (36_000 * 10 - 80, 1), price=2)
    assert alone.hours == pytest.approx(10) and alone.cost == pytest.approx(20)
    # each of two keeps 80 % of the speed of one, and so does each of a hundred
    many = figures.projected(one, [one, two], (36_000 * 80 - 80 * 80, 100), price=2)
    assert many.hours == pytest.approx(1) and many.cost == pytest.approx(200)


def test_answers_in_one_text_count_as_those_with_more_about_them() -> None:
    told = replace(measured("a", [1]), answers=({"answer": "the Dolly."}, {"answer": "1946"}))
    text = replace(told, answers=({"answer": "dolly", "score": 1}, {"answer": "46"}))
    assert figures.same_answers(told, text, "question-answering") == 0.5


def benchmark() -> report.BatchBenchmark:
    one = measured("one", [10, 10], "a", "b", first=20)
    two = measured("two", [5, 5], "a", "c", first=20, workers=2)
    settings = BenchmarkSettings(TASK, rounds=2)
    return report.BatchBenchmark(
        "Many",
        "2 rows",
        settings,
        (one, two),
        one,
        two,
        ((10**6, 1), (10**9, 64)),
        0.25,
        "EUR",
        0.5,
    )


def test_the_document_tells_speeds_memory_and_what_the_projection_assumes() -> None:
    text = report.markdown(benchmark(), "python -m it")
    assert "| one | 1 | 360 | 36.0 | 1 |  | 13.89 | 1 | 12.0 | 9 | 7 | 50.0% |" in text
    twice = "2.00x (2.00 to 2.00)"
    assert f"| two | 2 | 360 | 72.0 |  | {twice} | 6.94 | {twice} | 17.0 | 9 | 7 | 100.0% |" in text
    assert "an hour of one CPU costs 0.25 EUR (`--price`)" in text
    assert "against one | against 1 worker" in text and "answers of two |" in text
    assert "one 100%" in text and "load of the machine before: 0.50" in text
    assert (
        "| engine | 1,000,000 rows on 1 CPU | EUR | 1,000,000,000 rows on 64 CPUs | EUR |" in text
    )
    hours = 1e6 / 36 / 3600
    assert f"| one | {hours:.1f} h | {hours / 4:.2f} |" in text


def test_memory_is_that_of_the_largest_worker_below_or_of_the_process() -> None:
    below = measured("a", [1])
    assert report.memory(below) == (9 << 20, 7 << 20)
    own = EngineResult(below.spec, {}, 1, (Round((1,), 1, 1, 50),), ())
    assert report.memory(own) == (50, None)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RowFiles:
    """Of two copies of the rows."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return RowFiles(TASK, copies=2)


def test_rows_are_written_once_to_files_that_share_them(files: RowFiles) -> None:
    items = list("abcde")
    folder = Path(files.written(items))
    first = pandas.read_parquet(folder / "1.parquet")
    assert first.to_dict("list") == {"row": [1, 5, 9], "text": ["b", "a", "e"]}
    times = [path.stat().st_mtime_ns for path in folder.iterdir()]
    assert files.written(items) == str(folder)
    assert times == [path.stat().st_mtime_ns for path in folder.iterdir()]


def test_answers_are_those_of_the_first_copy_in_order_and_every_row_has_one(
    files: RowFiles,
) -> None:
    files.written(["a", "b"])
    told = files.answers([3, 1, 0, 2], ["b", "b", {"label": "a", "score": 1}, "a"])
    assert told == [{"label": "a", "score": 1}, {"label": "b"}]
    for rows in ([0, 1, 2], [0, 1, 2, 2]):
        with pytest.raises(ValueError, match="2 x 2 rows got"):
            files.answers(rows, ["a"] * len(rows))


def run(*arguments: object) -> Result:
    return CliRunner().invoke(command, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("served") / "model")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "texts.tsv"
    texts = ["good day", "bad day", "very good", "not good", "awful", "great day"]
    path.write_text("sentence\tlabel\n" + "".join(f"{text}\t1\n" for text in texts))
    return path


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (["-e", "pipeline@{model}"], "rows are scored by rows, pyfunc, spark, spark_udf"),
        (["-e", "rows:workers=999@{model}"], "workers=999: each needs a CPU of its own"),
        (["-e", "rows:workers=0@{model}"], "workers must be an integer above 0"),
        (["-e", "rows@{model}", "--project", "many"], "--project many: expected ROWS:CPUS"),
        (["-e", "rows@{model}", "--project", "10:0"], "--project 10:0: expected ROWS:CPUS"),
        (["-e", "rows@{model}", "--task", "fill-mask"], "--task fill-mask: rows are scored for"),
        (["-e", "rows@{model}", "--baseline", "other"], "--baseline other: no --engine"),
        (["-e", "rows@{model}", "--answers-of", "other"], "other: no --engine has this name"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_starts(
    served: Path, data: Path, flags: list[str], told: str
) -> None:
    result = run(*(flag.format(model=served) for flag in flags), "--data", data)
    assert result.exit_code == 2 and told in result.stderr and not result.stdout


@pytest.fixture(scope="module")
def packed(served: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("packed")
    result = CliRunner().invoke(package, [str(served), "--target", "mlflow", "--out", str(out)])
    assert result.exit_code == 0, result.stderr
    return next(out.rglob("MLmodel")).parent


def test_engines_score_the_rows_of_the_same_files(
    served: Path, packed: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "performance.md"
    engines = ["-e", f"rows@{served}", "-e", f"pyfunc:name=pyfunc,copies=3@{packed}"]
    result = run(
        *engines, "--data", data, "--rounds", 2, "--output", "json", "--out", out, "--title", "Many"
    )
    assert result.exit_code == 0, result.stderr
    done: dict[str, Any] = json.loads(result.stdout)
    assert [engine["name"] for engine in done["engines"]] == ["rows", "pyfunc"]
    for engine in done["engines"]:
        assert engine["same_answers"] == 1 and len(engine["rounds"]) == 2
        assert engine["environment"]["ONNXFERRY_ENGINE_THREADS"] == "1"
        assert [p["rows"] for p in engine["projected"]] == [10**6, 10**9]
    assert out.read_text().startswith("<!-- Many -->\n## Many\n\n```\npython -m scripts.benchmark.")


def test_the_tutorials_model_says_what_the_pipeline_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import transformers

    monkeypatch.chdir(tmp_path)
    source = checkpoints.bert(batch.OUT / "tiny" / "source", TASK)
    texts = ["good day", "bad", "the middle name of dolly", "very very good"]
    asked = transformers.pipeline(TASK, model=str(source), device="cpu")
    example = models.Example("tiny", Options(str(source), tmp_path / "out", task=TASK), source)
    found = load_model(str(batch.ready(example, "tutorial"))).predict(
        pandas.DataFrame({"text": texts})
    )
    assert list(found) == [one["label"] for one in asked(texts)]


@pytest.mark.spark
def test_spark_is_measured_with_its_workers_and_nothing_of_it_stays(
    served: Path, packed: Path, data: Path
) -> None:
    kinds = (
        f"rows@{served}",
        f"spark@{served}",
        f"spark:workers=2,copies=2,name=two@{served}",
        f"spark_udf@{packed}",
    )
    engines = [word for kind in kinds for word in ("-e", kind)]
    result = run(*engines, "--data", data, "--rounds", 1, "--output", "json")
    assert result.exit_code == 0, result.stderr
    found = {engine["name"]: engine for engine in json.loads(result.stdout)["engines"]}
    assert all(engine["same_answers"] == 1 for engine in found.values())
    assert found["two"]["times_one_worker"] is not None
    for engine in list(found.values())[1:]:
        assert engine["memory_beside_bytes"] > 50e6 and engine["worker_memory_bytes"] > 20e6
    assert found["rows"]["memory_beside_bytes"] is None


def test_memory_and_cpu_are_those_of_the_processes_of_its_own_session() -> None:
    script = (
        "import json, subprocess, sys\n"
        "from onnxferry.scripts.benchmark.worker import LoadedEngine\n"
        "below = subprocess.Popen([sys.executable, '-c', 'sum(range(10**7))'])\n"
        "engine = LoadedEngine()\n"
        "memory, before = engine.memory_below(), engine.cpu_seconds()\n"
        "below.wait()\n"
        "print(json.dumps([memory, before, engine.cpu_seconds()]))\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, check=True, start_new_session=True)
    memory, before, after = json.loads(done.stdout)
    assert list(memory) == ["python"] and after > before > 0

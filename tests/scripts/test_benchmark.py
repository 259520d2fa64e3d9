"""The benchmark on tiny models: real engines in real processes. No figure is asserted that a clock
has a say in."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import transformers
from click.testing import CliRunner, Result

from onnxferry.scripts import sections
from onnxferry.scripts.benchmark.__main__ import NOT_SHOWN
from onnxferry.scripts.benchmark.__main__ import command as main
from onnxferry.scripts.prepare import prepare
from tests import tiny
from tests.scripts import checkpoints, sentence_folders

DEEPSPARSE = {  # the keys that deepsparse.benchmark --export_path writes
    "engine",
    "version",
    "orig_model_path",
    "model_path",
    "batch_size",
    "input_shapes",
    "num_cores",
    "scenario",
    "scheduler",
    "seconds_to_run",
    "num_streams",
    "benchmark_result",
    "fraction_of_supported_ops",
}
RESULT = {
    "scenario",
    "items_per_sec",
    "seconds_ran",
    "iterations",
    "median",
    "mean",
    "std",
    "25.0%",
    "50.0%",
    "75.0%",
    "90.0%",
    "95.0%",
    "99.0%",
    "99.9%",
}
QUICK = ["--rounds", "2", "--warm-up", "1"]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def done(*arguments: object) -> dict[str, Any]:
    result = run(*arguments, "--output", "json")
    assert result.exit_code == 0, result.stderr
    data: dict[str, Any] = json.loads(result.stdout)
    return data


def prepared(folder: Path, task: str) -> tuple[Path, Path]:
    """A Hugging Face folder that also holds its ONNX export, and the model directory made of it."""
    source = checkpoints.bert(folder / "source", task)
    prepare(checkpoints.as_exported(str(source), folder / "served"))
    shutil.copy(folder / "served" / "model.onnx", source)
    return source, folder / "served"


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return prepared(tmp_path_factory.mktemp("texts"), "text-classification")


def test_engines_side_by_side_answer_the_same_and_are_told_with_deepsparses_keys(
    texts: tuple[Path, Path], tmp_path: Path
) -> None:
    source, served = texts
    engines = [
        f"onnxferry@{served}",
        f"torch@{source}",
        f"onnxruntime:name=searched,batch_size=1+4,threads=1@{source}",
        f"pipeline:batch_size=4@{source}",
    ]
    export, document = tmp_path / "out.json", tmp_path / "out.md"
    picture = tmp_path / "plots" / "out.svg"
    asked = ["--lengths", "lognormal:6:0.8", "--items", 10, "--batch", 4, *QUICK]
    written = ["--export", export, "--plot", picture, "--out", document]
    compared = [part for engine in engines for part in ("-e", engine)]
    found = done(*compared, *asked, "--baseline", "pipeline", *written)
    assert found.keys() >= DEEPSPARSE
    assert found == json.loads(export.read_text())
    records = found["engines"]
    assert [r["name"] for r in records] == [
        "onnxferry",
        "torch",
        "searched",
        "pipeline:batch_size=4",
    ]
    for record in records:
        assert record.keys() >= DEEPSPARSE
        assert record["benchmark_result"].keys() == RESULT
        # rounds x requests: 10 texts, 4 a request
        assert record["benchmark_result"]["iterations"] == 2 * 3
        assert [r["items"] for r in record["rounds"]] == [10, 10]
        assert record["peak_memory_bytes"] > 2**20
        assert record["against"]["pipeline:batch_size=4"]["same_answers"] == 1
    trials = sorted(records[2]["trials"], key=lambda trial: float(trial["cost"]))
    assert sorted(trial["options"]["batch_size"] for trial in trials) == [1, 4]
    assert records[2]["options"] == {**trials[0]["options"], "threads": 1}
    assert records[3]["trials"] == []
    assert "batch_size 4: " in document.read_text() and "CPUs busy" in document.read_text()
    assert found["engine"] == "onnxferry"
    assert (found["batch_size"], found["num_streams"], found["scenario"]) == (4, 1, "singlestream")
    assert records[3]["version"] and records[3]["options"] == {"batch_size": 4}
    assert "<svg" in picture.read_text()
    assert (
        "against pipeline:batch_size=4" in document.read_text()
        and "(plots/out.svg)" in document.read_text()
    )


def test_questions_are_read_through_windows_by_engines_without_a_pipeline(tmp_path: Path) -> None:
    source, served = prepared(tmp_path, "question-answering")
    question, context = tiny.QUESTION["question"], tiny.QUESTION["context"]
    rows = [
        {"inputs": {"question": question, "context": context * times}, "answer": "x"}
        for times in (1, 2, 40)
    ]
    data = tmp_path / "questions.jsonl"
    data.write_text("\n".join(map(json.dumps, rows)))
    engines = ["-e", f"onnxferry@{served}", "-e", f"onnxruntime@{source}"]
    once = ["--batch", 3, "--rounds", 1, "--warm-up", 0]
    pipeline = hasattr(transformers, "QuestionAnsweringPipeline")  # not in transformers 5
    engines += ["-e", f"pipeline@{source}"] if pipeline else []
    found = done(*engines, "--data", data, *once)
    assert found["task"] == "question-answering"
    same = [r["against"]["onnxferry"]["same_answers"] for r in found["engines"]]
    # onnxruntime's windows have another length, and it takes the best span alone
    assert same[1] >= 1 / 3 and same[2:] == [1] * pipeline


def test_embeddings_point_the_same_way_whichever_library_makes_them(tmp_path: Path) -> None:
    base = checkpoints.bert(tmp_path / "base", "feature-extraction")
    pool = sentence_folders.modules.Pooling(32, pooling_mode="mean")
    source = sentence_folders.saved(base, tmp_path / "source", pool)
    served = tmp_path / "served"
    prepare(checkpoints.as_exported(str(source), served))
    shutil.copy(served / "model.onnx", source)
    engines = [f"onnxferry@{served}", f"onnxruntime@{source}", f"sentence_transformers@{source}"]
    compared = [part for engine in engines for part in ("-e", engine)]
    found = done(*compared, "--lengths", "uniform:1:9", "--items", 5, "--batch", 5, "--rounds", 1)
    assert found["task"] == "feature-extraction"
    same = [record["against"]["onnxferry"]["same_answers"] for record in found["engines"]]
    assert same == [1, 1, 1]


def test_streams_arrivals_and_cold_starts(texts: tuple[Path, Path]) -> None:
    source, served = texts
    common = [
        "-e",
        f"onnxferry@{served}",
        "-e",
        f"onnxruntime@{source}",
        "--text",
        "good day",
        "--copies",
        6,
        *QUICK,
    ]
    several = done(*common, "-s", "async", "--streams", 3)
    assert (several["scenario"], several["num_streams"]) == ("multistream", 3)
    assert several["benchmark_result"]["iterations"] == 12
    rate = done(*common, "-s", "rate", "--rate", 200, "--time", 0.1, "--cores", 1)
    assert [r["benchmark_result"]["iterations"] for r in rate["engines"]] == [2 * 20] * 2
    assert (rate["plan"]["rate"], rate["num_cores"], rate["num_streams"]) == (200, 1, 1)
    cold = done(*common, "-s", "cold")
    assert [len(r["rounds"]) for r in cold["engines"]] == [2, 2]
    assert cold["engines"][1]["against"]["onnxferry"]["times_less_memory"] > 0


def test_the_table_names_the_peer(texts: tuple[Path, Path]) -> None:
    _, served = texts
    same = f"onnxferry@{served}"
    cold = run("-e", same, "-e", same, "-s", "cold", "--text", "good", "--rounds", 1)
    assert cold.exit_code == 0, cold.stderr
    assert "onnxferry@served#1" in cold.stdout and "first answer s" in cold.stdout


def test_the_older_name_of_baseline_is_accepted_and_not_shown(texts: tuple[Path, Path]) -> None:
    engines = ["-e", f"onnxferry@{texts[1]}", "-e", f"onnxferry:name=other@{texts[1]}"]
    found = done(*engines, "--text", "good", "--rounds", 1, "--against", "other")
    assert found["against"] == ["other"]
    assert "--against" not in run("--help").stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-e", "onnxferry:build"], "KIND@FOLDER"),
        (["-e", "tensorrt@{served}"], "onnxferry, pipeline"),
        (["-e", "onnxferry@nowhere"], "no folder or file nowhere"),
        (["-e", "onnxferry:batch_size=2@{served}"], "no option batch_size"),
        (["-e", "pipeline:batch_size=many@{served}"], "batch_size must be an integer"),
        (
            ["-e", "pipeline:batch_size=1+0@{served}"],
            "batch_size must be an integer above 0, got 0",
        ),
        (
            ["-e", "torch:batch_size=1+8@{served}", "--text", "a", "-s", "cold"],
            "a cold start is not searched",
        ),
        (["-e", "pipeline:fast@{served}"], "OPTION=VALUE"),
        (["-e", "onnxferry@{served}"], "one of --text, --lengths and --data"),
        (["-e", "onnxferry@{served}", "--text", "a", "--limit", "3"], "--limit goes with --data"),
        (["-e", "onnxferry@{served}", "--lengths", "normal:1:2"], "lognormal:MEDIAN:SIGMA"),
        (["-e", "onnxferry@{served}", "--lengths", "uniform:0:2"], "uniform:LEAST:MOST"),
        (["-e", "onnxferry@{served}", "--text", "a", "-s", "rate"], "--rate REQUESTS_A_SECOND"),
        (["-e", "onnxferry@{served}", "--text", "a", "--streams", "2"], "--streams is for"),
        (
            ["-e", "onnxferry@{served}", "--text", "a", "--baseline", "torch"],
            "--baseline torch: no --engine",
        ),
        (
            ["-e", "onnxferry@{served}", "--text", "a", "--python", "x=y"],
            "--python x=y: expected KIND=PATH",
        ),
        (
            ["-e", "onnxferry@{served}", "--text", "a", "--python", "onnxferry=/none"],
            "cannot be started",
        ),
        (
            ["-e", "onnxferry@{served}", "--text", "a", "--task", "question-answering"],
            "give a file with --data",
        ),
    ],
)
def test_what_is_wrong_is_said(texts: tuple[Path, Path], arguments: list[str], says: str) -> None:
    result = run(*(argument.format(served=texts[1]) for argument in arguments))
    assert result.exit_code == 2
    assert says in result.stderr


def test_the_command_in_a_document_says_what_was_measured_and_not_where() -> None:
    given = [
        "-e",
        "onnxferry@m",
        "--text",
        "I like you",
        "--out",
        "/home/me/x.md",
        "--data",
        "/home/me/squad.json",
        "--python",
        "torch=/home/me/python",
        "--baseline",
        "torch",
    ]
    assert (
        sections.repeated("scripts.benchmark", given, NOT_SHOWN)
        == "python -m scripts.benchmark \\\n    -e onnxferry@m \\\n    --text 'I like you' \\\n   "
        " --data squad.json \\\n    --baseline torch"
    )

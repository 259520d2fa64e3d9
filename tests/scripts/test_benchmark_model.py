"""`onnxferry benchmark MODEL`: deepsparse.benchmark's flags. No figure is asserted that a clock has
a say in."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from onnxferry.scripts.benchmark.__main__ import command as main
from onnxferry.scripts.benchmark.model import shapes, streams_of
from tests import tiny

KEYS = {
    *("engine", "version", "orig_model_path", "model_path", "batch_size", "input_shapes"),
    *("num_cores", "scenario", "scheduler", "seconds_to_run", "num_streams", "benchmark_result"),
    "fraction_of_supported_ops",
}
RESULT = {
    *("scenario", "items_per_sec", "seconds_ran", "iterations", "median", "mean", "std"),
    *("25.0%", "50.0%", "75.0%", "90.0%", "95.0%", "99.0%", "99.9%"),
}
SHORT = ("-t", "0.05", "-w", "0")


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("text"))


def run(*words: Any) -> Result:
    return CliRunner().invoke(main, [*map(str, words)])


def test_deepsparses_flags_and_export(text: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "x.json"
    shape = ("-i", "[8,16],[8,16]")
    flags = ("-b", 8, "-s", "async", "-nstreams", 2, "-ncores", 2, "-q", "-pin", "core", "-x", out)
    done = run(text / "model.onnx", *shape, *flags, *SHORT)
    assert done.exit_code == 0, done.output
    assert (
        "Throughput (items/sec): " in done.output and "Latency Median (ms/batch): " in done.output
    )
    assert "--thread_pinning means nothing here" in done.output
    found = json.loads(out.read_text())
    assert set(found) == KEYS and set(found["benchmark_result"]) == RESULT
    assert (found["batch_size"], found["input_shapes"]) == (8, [[8, 16], [8, 16]])
    assert (found["scenario"], found["num_streams"], found["num_cores"]) == ("multistream", 2, 2)
    assert found["benchmark_result"]["iterations"] >= 2


def test_long_names_and_a_folder(text: Path) -> None:
    flags = ("--batch_size", 2, "--num_cores", 1, "--scenario", "sync", "--engine", "onnxruntime")
    done = run(*flags, *SHORT, "--output", "json", text)
    assert done.exit_code == 0, done.output
    found = json.loads(done.stdout)
    assert (found["scenario"], found["num_streams"]) == ("singlestream", 1)
    assert "num_cores=1, num_streams=1" in found["engine"]
    assert found["engine"].startswith("onnxruntime: ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("zoo:bert",), "SparseZoo has ended"),
        (("none.onnx",), "none.onnx: no such file or folder"),
        (
            ("{}", "-e", "deepsparse"),
            "expected one of onnxferry, onnxruntime; to measure DeepSparse",
        ),
        (("{}", "-i", "8,128"), 'expected shapes like "[8,128],[8,128]"'),
        (("{}", "-i", "[8,128]"), "input_shapes has 1 shapes; the graph takes input_ids"),
        (("{}", "-seq_len", "8"), "--sequence_length is for models with a key-value cache"),
        (("{}", "-b", "0"), "Invalid value for '-b'"),
    ],
)
def test_what_cannot_be_measured_is_named(text: Path, words: tuple[str, ...], told: str) -> None:
    done = run(*(word.format(text) for word in words), *SHORT)
    assert done.exit_code != 0
    assert told in done.output
    assert "Traceback" not in done.output


def test_shapes_and_streams_are_read_as_deepsparse_reads_them() -> None:
    assert shapes("[1,2,3], [4]") == [[1, 2, 3], [4]]
    assert shapes("") is None
    assert [streams_of(s, None, 8) for s in ("sync", "async", "elastic")] == [1, 4, 4]
    assert streams_of("async", 3, 8) == 3
    assert streams_of("async", None, 1) == 1

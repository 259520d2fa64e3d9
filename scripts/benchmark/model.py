"""deepsparse.benchmark's command line: one graph on random arrays, for so many seconds.

onnxferry benchmark model.onnx -b 8 -s sync -t 10 -i "[8,128],[8,128]"
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import numpy as np
from click import option

from onnxferry.pipelines import Engine
from onnxferry.pipelines.benchmark import BenchmarkResults
from onnxferry.scoring import cpu
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import ScoringError
from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.system.options import COUNT, FILE

SCENARIOS = {"async": "multistream", "sync": "singlestream", "elastic": "elastic"}
ENGINES = {  # how idle threads wait: as onnxferry's hosts do it, or as ONNX Runtime's defaults
    "onnxferry": EngineOptions(),
    "onnxruntime": EngineOptions(spin_duration_us=1000, spin_between_runs=True),
}
SECONDS = click.FloatRange(0)
ENGINE = "onnxferry, or onnxruntime: with idle threads that spin, as its defaults have it."
SHAPES = 'Sizes of the inputs, like "[8,128],[8,128]".'
STREAMS = "Runs at once, async and elastic. Default: half of the cores."
CORES = "CPUs. Default: all that are available."
MEANINGLESS = {  # flags of deepsparse.benchmark without effect -> why
    "thread_pinning": "threads are not pinned; pin the process by taskset",
    "quiet": "there is no log to lower",
}
KEY_VALUES = ("sequence_length", "input_ids_length", "num_kv_cache_tokens")


def is_asked(words: list[str]) -> bool:
    """Whether a command line is deepsparse.benchmark's: a graph, and no KIND@FOLDER."""
    graph = any(w.endswith(".onnx") or w.startswith("zoo:") or Path(w).is_dir() for w in words)
    return graph and not any("@" in word for word in words)


@options.command("benchmark")
@click.argument("model_path")
@option("-b", "--batch_size", "--batch-size", "--batch", default=1, type=COUNT, help="Rows a run.")
@option("-i", "-shapes", "--input_shapes", "--input-shapes", default="", help=SHAPES)
@option("-ncores", "--num_cores", "--num-cores", "--cores", type=COUNT, help=CORES)
@option("-s", "--scenario", type=click.Choice([*SCENARIOS]), default="sync", help="Runs at once.")
@option("-t", "--time", "seconds", default=10.0, type=click.FloatRange(0.01), help="Seconds.")
@option("-w", "--warmup_time", "--warmup-time", default=2.0, type=SECONDS, help="Before them.")
@option("-nstreams", "--num_streams", "--num-streams", "--streams", type=COUNT, help=STREAMS)
@option("-e", "--engine", default="onnxferry", help=ENGINE)
@option("-x", "--export_path", "--export-path", "--export", type=FILE, help="A JSON file.")
@option("-pin", "--thread_pinning", "--thread-pinning", hidden=True)
@option("-q", "--quiet", is_flag=True, default=None, hidden=True)
@option("-seq_len", "--sequence_length", hidden=True)
@option("-input_ids_len", "--input_ids_length", hidden=True)
@option("--num-kv-cache-tokens", "--num_kv_cache_tokens", hidden=True)
@option("--no-internal-kv-cache", "--no_internal_kv_cache", is_flag=True, hidden=True)
@option("--disable-kv-cache-overrides", "--disable_kv_cache_overrides", is_flag=True, hidden=True)
@options.output
def command(model_path: str, **flags: Any) -> None:
    """Measure the graph MODEL_PATH on random arrays, with deepsparse.benchmark's flags."""
    _check(model_path, flags)
    for name, why in MEANINGLESS.items():
        if flags[name] is not None:
            click.echo(f"--{name} means nothing here: {why}", err=True)
    found = _report(model_path, flags)
    text = json.dumps(found, indent=2)
    click.echo(text if flags["output"] == "json" else _summary(model_path, found))
    if path := flags["export_path"]:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")


def _check(model_path: str, flags: dict[str, Any]) -> None:
    """Raise UsageError for what is not measured here."""
    if model_path.startswith("zoo:"):
        raise UsageError(f"{model_path}: SparseZoo has ended; give an .onnx file or its folder")
    if not Path(model_path).exists():
        raise UsageError(f"{model_path}: no such file or folder")
    if (engine := flags["engine"]) not in ENGINES:
        known = ", ".join(ENGINES)
        side = "to measure DeepSparse itself: onnxferry benchmark --engine deepsparse@FOLDER"
        raise UsageError(f"-e {engine}: expected one of {known}; {side}")
    if given := [name for name in KEY_VALUES if flags[name] is not None]:
        raise UsageError(f"--{given[0]} is for models with a key-value cache, which are not run")


def shapes(text: str) -> list[list[int]] | None:
    """The shapes in "[8,128],[8,128]", None for "". Raises UsageError."""
    if not text:
        return None
    plain = text.replace(" ", "")
    if not re.fullmatch(r"\[\d+(,\d+)*\](,\[\d+(,\d+)*\])*", plain):
        raise UsageError(f'-i {text}: expected shapes like "[8,128],[8,128]"')
    return [[*map(int, shape.split(","))] for shape in re.findall(r"\[([\d,]+)\]", plain)]


def streams_of(scenario: str, streams: int | None, cores: int) -> int:
    """How many runs at once, as deepsparse.benchmark has it."""
    return 1 if scenario == "sync" else streams or max(1, cores // 2)


def _report(model_path: str, flags: dict[str, Any]) -> dict[str, Any]:
    """The keys of deepsparse.benchmark's export."""
    cores, scenario = flags["num_cores"] or cpu.available(), flags["scenario"]
    streams = min(streams_of(scenario, flags["num_streams"], cores), cores)
    sizes = shapes(flags["input_shapes"])
    own = ENGINES[flags["engine"]]
    used = replace(own, threads=cores // streams, parallel_runs=streams)
    try:
        engine = Engine(model_path, flags["batch_size"], cores, input_shapes=sizes, options=used)
        arrays = engine.generate_random_inputs()
    except ScoringError as e:
        raise UsageError(str(e)) from e
    timed(engine, arrays, streams, flags["warmup_time"])
    results = timed(engine, arrays, streams, flags["seconds"])
    return {
        "engine": f"{flags['engine']}: {engine!r}",
        "version": version("onnxferry"),
        "orig_model_path": model_path,
        "model_path": str(Path(engine.model_path).resolve()),
        "batch_size": flags["batch_size"],
        "input_shapes": sizes,
        "num_cores": cores,
        "scenario": SCENARIOS[scenario],
        "scheduler": "single_stream" if scenario == "sync" else "multi_stream",
        "seconds_to_run": flags["seconds"],
        "num_streams": streams,
        "benchmark_result": {"scenario": SCENARIOS[scenario], **results.statistics()},
        "fraction_of_supported_ops": None,
    }


def timed(
    engine: Callable[[list[np.ndarray[Any, Any]]], Any],
    arrays: list[np.ndarray[Any, Any]],
    streams: int,
    seconds: float,
) -> BenchmarkResults:
    """The runs of `streams` threads in so many seconds, one each at least."""
    spans: list[tuple[float, float]] = []
    failed: list[BaseException] = []
    until = time.perf_counter() + seconds

    def work() -> None:
        try:
            while True:
                start = time.perf_counter()
                engine(arrays)
                spans.append((start, end := time.perf_counter()))
                if end >= until:
                    return
        except Exception as e:
            failed.append(e)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise UsageError(f"the graph does not run on random arrays: {failed[0]}; give -i")
    return BenchmarkResults(spans, len(arrays[0]))


def _summary(model_path: str, found: dict[str, Any]) -> str:
    result = found["benchmark_result"]
    rows = (
        ("Original Model Path", model_path),
        ("Batch Size", found["batch_size"]),
        ("Cores, Streams", f"{found['num_cores']}, {found['num_streams']}"),
        ("Scenario", found["scenario"]),
        ("Throughput (items/sec)", f"{result['items_per_sec']:.4f}"),
        ("Latency Mean (ms/batch)", f"{result['mean']:.4f}"),
        ("Latency Median (ms/batch)", f"{result['median']:.4f}"),
        ("Latency Std (ms/batch)", f"{result['std']:.4f}"),
        ("Iterations", result["iterations"]),
    )
    return "\n".join(f"{name}: {value}" for name, value in rows)

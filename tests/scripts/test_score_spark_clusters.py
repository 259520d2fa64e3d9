"""`onnxferry score --engine spark` on clusters of processes that are killed, with other versions of
Spark, and workers that have nothing of this project; Spark Connect."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import psutil  # type: ignore[import-untyped]
import pyarrow as pa
import pytest
from pyarrow import compute, dataset, parquet

from onnxferry.scripts.score.clusters.chunked_output import RECORDS
from tests import tiny
from tests.eventually import eventually
from tests.scripts.spark_cluster import ROOT, Cluster, environ, standalone
from tests.scripts.spark_environments import python

pytestmark = [pytest.mark.spark, pytest.mark.timeout(1200)]
HERE = Path(sys.executable)
TEXTS = ["good day", "bad", None, "very good", " ", "awful day", "it was great"]
LABELS = ["good", "bad", None, "good", None, "bad", "good"]


def rows(folder: Path, counts: list[int]) -> Path:
    """Parquet files of so many rows each."""
    folder.mkdir()
    first = 0
    for i, count in enumerate(counts):
        ids = np.arange(first, first + count)
        texts = pa.array(TEXTS).take(pa.array(ids % len(TEXTS)))
        table = pa.table({"id": pa.array(ids, pa.int64()), "text": texts})
        parquet.write_table(table, folder / f"{i:02}.parquet")
        first += count
    return folder


def check(out: Path, count: int) -> None:
    """Each row is there once, with its own answer."""
    found = dataset.dataset(out, format="parquet").to_table().sort_by("id")
    assert found["id"].to_pylist() == list(range(count))
    turn = pa.array(np.arange(count) % len(TEXTS))
    assert found["text"].combine_chunks().equals(pa.array(TEXTS).take(turn))
    assert found["label"].combine_chunks().equals(pa.array(LABELS).take(turn))
    refused = compute.is_valid(found["error"]).combine_chunks()
    assert refused.equals(compute.is_null(found["label"]).combine_chunks())


def score(
    source: Path, out: Path, model: Path, *more: str, env: dict[str, str], by: Path = HERE
) -> subprocess.Popen[str]:
    """The command, as a driver."""
    words = [by, "-m", "onnxferry", "score", source, out, "--model", model]
    options = more if "--engine" in more else ("--engine", "spark", *more)
    options = ("--output", "json", *options)
    return subprocess.Popen(
        [*map(str, words), *options],
        env=env,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def outcome(driver: subprocess.Popen[str]) -> dict[str, Any]:
    out, err = driver.communicate(timeout=900)
    assert driver.returncode == 0, err
    told: dict[str, Any] = json.loads(out)
    return told


def done(out: Path) -> int:
    """Chunks that are recorded."""
    return len([*(out / RECORDS).glob("chunk-*.json")])


def begun(driver: subprocess.Popen[str], out: Path, chunks: int) -> bool:
    """Whether the driver came to have so many chunks, and works at another."""
    return eventually(
        lambda: driver.poll() is None and done(out) >= chunks and any(staged(out)), 600
    )


def staged(out: Path) -> list[Path]:
    return [*(out / RECORDS).glob("staged-*")]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    golden = tiny.golden({"inputs": "good"}, [])
    return tiny.text_classification(tmp_path_factory.mktemp("model"), golden=golden)


def test_a_hundred_thousand_rows_on_a_cluster_of_processes(model: Path, tmp_path: Path) -> None:
    source = rows(tmp_path / "in", [30_000, 0, 45_000, 1, 24_999, 0])
    out, env = tmp_path / "out", environ(HERE)
    master = ("--master", "local-cluster[2,1,1024]")
    told = outcome(score(source, out, model, *master, env=env))
    assert (told["rows_in"], told["rows_out"]) == (100_000, 100_000)
    assert sum(told["refused"].values()) == 2 * 100_000 // 7 + 1
    check(out, 100_000)


def kill_executor(cluster: Cluster, driver: subprocess.Popen[str]) -> None:
    for one in cluster.executors(0):
        one.kill()


def kill_machine(cluster: Cluster, driver: subprocess.Popen[str]) -> None:
    cluster.kill(1)


@pytest.mark.parametrize("kill", [kill_executor, kill_machine])
def test_a_worker_that_is_killed_costs_no_row(
    kill: Callable[[Cluster, subprocess.Popen[str]], None], model: Path, tmp_path: Path
) -> None:
    source, out, env = rows(tmp_path / "in", [20_000] * 4), tmp_path / "out", environ(HERE)
    with standalone(tmp_path, env) as cluster:
        options = ("--master", cluster.address, "--chunk-mb", "0.000001")
        driver = score(source, out, model, *options, env=env)
        assert begun(driver, out, 1), driver.communicate(timeout=60)
        kill(cluster, driver)
        told = outcome(driver)
    assert (told["rows_in"], told["rows_out"], told["resumed"]) == (80_000, 80_000, 0)
    check(out, 80_000)


def test_a_driver_that_is_killed_and_started_again_does_the_rest(
    model: Path, tmp_path: Path
) -> None:
    source, out, env = rows(tmp_path / "in", [20_000] * 4), tmp_path / "out", environ(HERE)
    with standalone(tmp_path, env) as cluster:
        options = ("--master", cluster.address, "--chunk-mb", "0.000001")
        for chunks in (1, 2):
            driver = score(source, out, model, *options, env=env)
            assert begun(driver, out, chunks), driver.communicate(timeout=60)
            kill_all(driver)
        assert 1 < done(out) < 4
        told = outcome(score(source, out, model, *options, env=env))
    assert told["rows_out"] == 80_000
    assert told["resumed"] in (40_000, 60_000)
    check(out, 80_000)
    assert not staged(out)


def kill_all(driver: subprocess.Popen[str]) -> None:
    """The driver with its JVM, at once."""
    family = [psutil.Process(driver.pid), *psutil.Process(driver.pid).children(recursive=True)]
    for one in family:
        with suppress(psutil.NoSuchProcess):
            os.kill(one.pid, signal.SIGKILL)
    psutil.wait_procs(family, timeout=60)
    driver.communicate(timeout=60)


def test_workers_need_nothing_of_this_project(model: Path, tmp_path: Path) -> None:
    """Nor pandas, nor Spark in their Python."""
    source, out = rows(tmp_path / "in", [1000]), tmp_path / "out"
    env = {**environ(HERE), "PYSPARK_PYTHON": str(python("worker"))}
    with standalone(tmp_path, {**env, "PYTHONPATH": ""}, workers=1) as cluster:
        driver = score(source, out, model, "--master", cluster.address, env=env)
        assert outcome(driver)["rows_out"] == 1000
        bare = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        again = tmp_path / "again"
        lacks = {**env, "PYSPARK_PYTHON": str(bare)}
        driver = score(source, again, model, "--master", cluster.address, env=lacks)
        _, err = driver.communicate(timeout=600)
    check(out, 1000)
    assert driver.returncode == 2
    assert "lacks pyarrow (No module named 'pyarrow'), onnxruntime (" in err
    assert "Traceback" not in err
    assert not again.exists()


def test_a_master_that_is_none_is_told(model: Path, tmp_path: Path) -> None:
    source, out = rows(tmp_path / "in", [1]), tmp_path / "out"
    driver = score(source, out, model, "--master", "nonsense", env=environ(HERE))
    _, err = driver.communicate(timeout=600)
    assert driver.returncode == 2
    assert "Spark did not start on nonsense: " in err
    assert "it needs a master that answers, and Java" in err
    assert "Traceback" not in err


def test_spark_3_5(model: Path, tmp_path: Path) -> None:
    older = python("3.5")
    source, out, env = rows(tmp_path / "in", [2000, 0, 1000]), tmp_path / "out", environ(older)
    master = ("--master", "local-cluster[2,1,1024]", "--chunk-mb", "0.000001")
    told = outcome(score(source, out, model, *master, env=env, by=older))
    assert (told["rows_out"], told["resumed"]) == (3000, 0)
    check(out, 3000)
    again = outcome(score(source, out, model, *master, env=env, by=older))
    assert (again["rows_out"], again["resumed"]) == (3000, 3000)


CONNECT = """
import json, sys
from pyspark.sql import SparkSession
from onnxferry.scripts.score.spark import score_dataframe
from onnxferry.system.errors import UsageError
spark = SparkSession.builder.remote("local[2]").getOrCreate()
assert ".connect." in type(spark).__module__
given = spark.range(0, 1000, 1, 4).selectExpr("id", "IF(id % 2 = 0, 'good', NULL) AS text")
found = score_dataframe(given, sys.argv[1], parameters={"top_k": 2}).collect()
cells = [[row.id, row.text, row.label, len(row.labels or []), row.error] for row in found]
print(json.dumps(cells))
try:
    score_dataframe(given, sys.argv[1], parameters={"top_k": "2"})
except UsageError as e:
    assert "InvalidType" in str(e), e
spark.stop()
"""


def test_a_session_of_spark_connect(model: Path, tmp_path: Path) -> None:
    by = python("connect")
    env = environ(by)
    run = [str(by), "-c", CONNECT, str(model)]
    told = subprocess.run(run, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr
    found = sorted(json.loads(told.stdout.splitlines()[-1]))
    assert [row[:4] for row in found] == [
        [i, *(("good", "good", 2) if i % 2 == 0 else (None, None, 0))] for i in range(1000)
    ]
    assert {row[4] for row in found} == {None, "invalid_type: 'text' must be a string, got null"}


def test_ray_scores_the_same_rows(model: Path, tmp_path: Path) -> None:
    """A driver that is killed in the middle, and started again."""
    by = python("ray")
    source, out = rows(tmp_path / "in", [20_000, 0, 20_000, 10_000]), tmp_path / "out"
    env = {"PATH": os.environ["PATH"], "HOME": os.environ["HOME"], "PYTHONPATH": str(ROOT)}
    env |= {"RAY_TMPDIR": str(tmp_path)} if len(str(tmp_path)) < 40 else {}
    options = ("--engine", "ray", "--chunk-mb", "0.000001")
    driver = score(source, out, model, *options, env=env, by=by)
    assert begun(driver, out, 1), driver.communicate(timeout=60)
    kill_all(driver)
    told = outcome(score(source, out, model, *options, env=env, by=by))
    assert told["rows_out"] == 50_000
    assert told["resumed"] in (20_000, 40_000)
    check(out, 50_000)

"""What an instance bears: the table of sizes, and models that do and do not fit them."""

from __future__ import annotations

import json
import typing
from dataclasses import replace
from pathlib import Path

import pytest

from onnxferry.infra.functions.sizing import CORES, HOST_MB, Need, allowed_mib, sizing
from onnxferry.infra.target_tables import Functions
from onnxferry.scoring.engine_options import variables
from onnxferry.scripts.package import Package
from onnxferry.scripts.package.contract import Member

SMALL = Need(20_000_000)
HOST_JSON = Path(__file__).parents[3] / "targets/functions/wwwroot/host.json"


def test_it_knows_the_sizes_that_deploy_toml_takes() -> None:
    memory = typing.get_type_hints(Functions)["instance_memory_mb"]
    assert sorted(CORES) == sorted(typing.get_args(memory))


@pytest.mark.parametrize(
    ("memory_mb", "requests", "engine_threads", "allowed"),
    [(512, 2, 1, 276), (2048, 4, 1, 1352), (4096, 8, 2, 2785)],
)
def test_a_small_model(memory_mb: int, requests: int, engine_threads: int, allowed: int) -> None:
    found = sizing(memory_mb, SMALL)
    assert (found.processes, found.http_concurrency, found.worker_threads) == (
        1,
        requests,
        requests,
    )
    assert (found.engine_threads, found.allowed_mib, found.fits) == (engine_threads, allowed, True)


def test_a_third_of_the_instance_is_left_with_the_hosts_part_counted() -> None:
    for memory_mb in CORES:
        used = allowed_mib(memory_mb) + HOST_MB
        assert used / (memory_mb + HOST_MB) == pytest.approx(0.7, abs=0.002)


def test_where_bodies_need_the_memory_fewer_requests_are_let_in() -> None:
    found = sizing(2048, replace(SMALL, body_bytes=100_000_000))
    assert found.http_concurrency == found.worker_threads == 4
    found = sizing(512, replace(SMALL, body_bytes=40_000_000))
    assert (found.http_concurrency, found.fits) == (1, True)


def test_http_concurrency_of_deploy_toml_wins() -> None:
    found = sizing(512, SMALL, 40)
    assert (found.http_concurrency, found.worker_threads, found.fits) == (40, 40, False)
    assert "set instance_memory_mb = 2048" in found.text()


@pytest.mark.parametrize(
    ("memory_mb", "model_bytes", "words"),
    [
        (512, 300_000_000, "does NOT fit"),
        (512, 300_000_000, "set instance_memory_mb = 2048"),
        (4096, 3_000_000_000, "no instance of this plan has more; prepare it in int8"),
    ],
)
def test_a_model_that_does_not_fit(memory_mb: int, model_bytes: int, words: str) -> None:
    found = sizing(memory_mb, Need(model_bytes))
    assert not found.fits
    assert found.http_concurrency == 1
    assert words in found.text()


def test_in_words() -> None:
    assert sizing(512, SMALL).text() == (
        "512 MB and 0.25 cores: 2 requests at a time in one process, 1 engine thread; estimated"
        " 152 MiB of the 276 MiB that leave 30% to spare"
    )


def test_the_settings_are_those_that_worker_host_and_scoring_read() -> None:
    settings = sizing(4096, SMALL).settings
    assert settings["PYTHON_THREADPOOL_THREAD_COUNT"] == "8"
    assert settings["AzureFunctionsJobHost__extensions__http__maxConcurrentRequests"] == "8"
    (engine,) = settings.keys() & variables()
    assert (variables()[engine], settings[engine]) == ("threads", "2")
    assert not [name for name in settings if name.startswith("FUNCTIONS_WORKER")]


def test_host_json_lets_in_as_many_as_the_largest_instance_serves() -> None:
    """For a package that is published without these settings."""
    http = json.loads(HOST_JSON.read_text())["extensions"]["http"]
    most = max(sizing(memory_mb, Need(1)).http_concurrency for memory_mb in CORES)
    assert http["maxConcurrentRequests"] == most


def test_the_need_is_that_of_the_models_files_and_of_the_largest_body(tmp_path: Path) -> None:
    files = {"model/model.onnx": 3, "model/model.onnx.data": 40, "function_app.py": 500}
    members = tuple(Member(path, size, "") for path, size in files.items())
    package = Package("functions", "m", tmp_path, "", 9, "3.12", members)
    assert Need.of(package, {"ANY": "1"}) == Need(43)
    assert Need.of(package, {"ONNXFERRY_LIMIT_BODY_BYTES": "7"}) == Need(43, 7)

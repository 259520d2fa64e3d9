"""The clients of KServe and of MLServer, each in an environment of its own, made on first use."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from onnxferry import scoring
from onnxferry.scoring.wire import Request
from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.system.cache import cache_folder
from tests import tiny
from tests.packages import quiet
from tests.targets.local.routes.inprocess import listening
from tests.targets.served import prepared_tensors

pytestmark = pytest.mark.soak
HERE = Path(__file__).parent

TEXTS = ["good day", "bad"]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    return {
        "text": tiny.text_classification(folder / "text"),
        "tensors": prepared_tensors(folder / "tensors"),
    }


@pytest.fixture(scope="module")
def address(models: dict[str, Path]) -> Iterator[str]:
    with listening(models) as address:
        yield address


@pytest.fixture(scope="module")
def expected(models: dict[str, Path]) -> list[dict[str, Any]]:
    body = json.dumps({"inputs": TEXTS}).encode()
    found: list[dict[str, Any]] = json.loads(
        scoring.load(models["text"]).handle(Request(body)).body
    )
    return found


def told(name: str, requirements: tuple[str, ...], address: str) -> Any:
    """What the client's program prints."""
    folder = environment(name, Path(sys.executable), [Install(requirements)], cache_folder(), quiet)
    program = (folder / "bin" / "python", "-W", "ignore", HERE / f"{name}_client.py")
    ended = subprocess.run(
        [*map(str, program), f"http://{address}"],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ended.returncode == 0, ended.stderr[-2000:]
    return json.loads(ended.stdout.splitlines()[-1])


def test_kserves_client(address: str, expected: list[dict[str, Any]]) -> None:
    found = told("kserve", ("kserve==0.21.0", "uvloop<0.22"), address)
    assert (found["live"], found["ready"]) == (True, True)
    assert found["scores"] == [answer["score"] for answer in expected]
    assert found["square"] == [[20.25, 1.0]]


def test_mlservers_client(address: str, expected: list[dict[str, Any]]) -> None:
    found = told("mlserver", ("mlserver==1.7.1", "uvloop<0.22"), address)
    assert found["labels"] == [answer["label"] for answer in expected]
    assert found["pipeline"] == expected
    assert found["batch"] == [[answer["score"] for answer in expected]] * 3

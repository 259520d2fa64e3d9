"""Routes that are called without FastAPI's layers answer as with them."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import ThreadBackend
from onnxferry.targets.local.direct import Direct
from tests import tiny
from tests.targets.served import GOLDEN

BODY = GOLDEN.request.body
ASKS = [
    ("POST", "/predict", BODY),
    ("POST", "/predict", b"no JSON"),
    ("POST", "/models/one/predict", BODY),
    ("POST", "/models/two/predict", BODY),
    ("POST", "/models/none/predict", BODY),
    ("POST", "/v2/models/two/infer", BODY),
    ("GET", "/predict", b""),
    ("GET", "/ping", b""),
    ("POST", "/nowhere", BODY),
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.text_classification(tmp_path_factory.mktemp("direct") / "model")


async def answers(model: Path, method: str, path: str, body: bytes) -> list[tuple[int, bytes]]:
    backend = ThreadBackend({"one": model, "two": model})
    await backend.start()
    app, found = application(backend), []
    for asked in (app, Direct(app, backend.models)):
        transport = httpx.ASGITransport(asked)
        async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
            response = await client.request(method, path, content=body)
            found.append((response.status_code, response.content))
    await backend.stop()
    return found


@pytest.mark.parametrize(("method", "path", "body"), ASKS)
def test_the_answers_are_the_same(model: Path, method: str, path: str, body: bytes) -> None:
    with_layers, without = asyncio.run(answers(model, method, path, body))
    assert with_layers == without


def test_fixed_paths_and_each_models_are_called_directly(model: Path) -> None:
    calls = Direct(application(ThreadBackend({})), ["one", "two"])._calls
    assert {"/predict", "/models/one/predict", "/models/two/predict"} <= calls.keys()
    assert not any("{" in path for path in calls)

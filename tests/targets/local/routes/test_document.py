"""The OpenAPI document: every task's is a document, its examples run, and whatever fits or breaks
its schemas is answered as it says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from onnxferry import scoring
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.tasks import TASKS
from onnxferry.scoring.wire import Request
from tests import tiny
from tests.targets.local.routes.inprocess import asked
from tests.targets.served import prepared_tensors

PAYLOADS: dict[str, Any] = {
    "feature-extraction": {"inputs": ["good day", "bad"]},
    "fill-mask": {"inputs": f"a {tiny.MASK} day", "parameters": {"top_k": 2}},
    "question-answering": {"inputs": tiny.QUESTION},
    "sentence-similarity": {"inputs": {"source_sentence": "good", "sentences": ["day", "good"]}},
    "tensors": {"inputs": {"x": [[1.0, 2.0]], "k": [[3]]}},
    "text-classification": {"inputs": ["good day", "bad"], "parameters": {"top_k": 2}},
    "text-ranking": {"inputs": {"query": "good", "documents": ["bad", "great day"]}},
    "token-classification": {"inputs": "Dolly Rebecca"},
    "zero-shot-classification": {
        "inputs": "good day",
        "parameters": {"candidate_labels": ["good", "bad"]},
    },
}
PICTURE = b"BM" + (58).to_bytes(4, "little") + bytes(4) + (54).to_bytes(4, "little")
PICTURE += (40).to_bytes(4, "little") + (1).to_bytes(4, "little") * 2
PICTURE += b"\1\0\x18\0" + bytes(24) + b"\0\0\xff\0"  # one red point


def with_golden(task: str, folder: Path) -> Path:
    """The tiny model of a task, with a golden request."""
    make = prepared_tensors if task == "tensors" else getattr(tiny, task.replace("-", "_"))
    model: Path = make(folder)
    request = Request(PICTURE, "image/bmp")
    if task in PAYLOADS:
        request = Request(json.dumps(PAYLOADS[task]).encode())
    answer = scoring.load(model).handle(request)
    assert answer.status == 200, answer.body
    spec = ModelSpec.read(model)
    return tiny.write_spec(model, replace(spec, golden=Golden(request, json.loads(answer.body))))


@pytest.fixture(scope="module", params=sorted(TASKS))
def client(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[TestClient]:
    model = with_golden(request.param, tmp_path_factory.mktemp("model"))
    with asked({"tiny": model}) as client:
        yield client


def test_every_example_runs_and_its_answer_is_as_typed(client: TestClient) -> None:
    paths = client.get("/openapi.json").json()["paths"]
    ran = 0
    for path, methods in paths.items():
        content = methods.get("post", {}).get("requestBody", {"content": {}})["content"]
        if "example" not in content.get("application/json", {}):
            continue
        answer = client.post(path, json=content["application/json"]["example"])
        assert answer.status_code == 200, (path, answer.text)
        told = methods["post"]["responses"]["200"]["content"]["application/json"]
        jsonschema.validate(answer.json(), told["schema"])
        jsonschema.validate(
            content["application/json"]["example"], content["application/json"]["schema"]
        )
        ran += 1
    task = client.get("/models").json()["models"][0]["task"]
    assert ran >= (0 if "image" in task or "object" in task else 5)


CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
]


def explored(client: TestClient, examples: int, paths: str = "") -> None:
    """Ask what schemathesis makes of the document, of the paths that match `paths`."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", client.app)
    few = settings(
        max_examples=examples,
        database=None,
        derandomize=True,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    for found in schema.get_all_operations():
        operation = found.ok()
        if not re.search(paths, operation.path):
            continue
        # what breaks the schema can be made of a body only
        for mode in GenerationMode if operation.body else [GenerationMode.POSITIVE]:
            ask: Any = given(operation.as_strategy(mode))(_ask)  # type: ignore[no-untyped-call]
            few(ask)()


def _ask(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)


def test_whatever_is_made_of_the_document_is_answered_as_it_says(client: TestClient) -> None:
    explored(client, 2, "^/models/tiny/predict$|/infer$")


@pytest.mark.soak
def test_much_of_it_too(client: TestClient) -> None:
    explored(client, 100)


def test_docs_need_no_network(client: TestClient) -> None:
    page = client.get("/docs")
    assert page.status_code == 200
    assert "://" not in page.text
    for name, start in {"swagger-ui-bundle.js": "/*!", "swagger-ui.css": ".swagger-ui"}.items():
        assert f"docs/{name}" in page.text
        file = client.get(f"/docs/{name}")
        assert (file.status_code, file.headers["content-encoding"]) == (200, "gzip")
        assert start in file.text[:200]
    assert client.get("/docs/LICENSE.txt").status_code == 404

"""Routes that a configuration or the platform's variables ask for."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from onnxferry.targets.local.admission import Admission
from onnxferry.targets.local.app import application
from onnxferry.targets.local.backend import ThreadBackend
from onnxferry.targets.local.config import ModelConfig
from onnxferry.targets.local.exchange import Exchange
from tests import tiny
from tests.targets.local.routes.inprocess import asked

PATHS = ("/v2/models/feelings/infer", "/v2/models/mood/infer")


def test_vertex_ai_says_where_it_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIP_PREDICT_ROUTE", "/v1/endpoints/1/deployedModels/2:predict")
    monkeypatch.setenv("AIP_HEALTH_ROUTE", "/v1/endpoints/1/deployedModels/2")
    with asked({"text": tiny.text_classification(tmp_path)}) as client:
        got = client.post(
            "/v1/endpoints/1/deployedModels/2:predict",
            json={"instances": ["good day"], "parameters": {"top_k": 1}},
        )
        health = client.get("/v1/endpoints/1/deployedModels/2")
    assert health.status_code == 200
    assert [answer[0]["label"] for answer in got.json()["predictions"]] == ["good"]


def test_reranking_without_a_model_for_it_says_so(tmp_path: Path) -> None:
    with asked({"text": tiny.text_classification(tmp_path)}) as client:
        got = client.post("/rerank", json={"query": "good", "texts": ["bad"]})
    assert (got.status_code, got.json()["error"]["code"]) == (404, "not_found")
    assert "needs one of the task text-ranking" in got.json()["error"]["message"]


def test_a_deepsparse_endpoint_answers_at_its_route_by_its_arguments(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path)
    config = ModelConfig(
        path=folder,
        name="mood",
        route="/v2/models/feelings/infer",
        task="sentiment_analysis",
        arguments={"top_k": 2, "sequence_length": 16},
    )
    backend = ThreadBackend({"mood": folder})
    app = application(backend, Exchange(backend, configured={"mood": config}))
    with TestClient(app) as client:
        told = [client.post(path, json={"sequences": ["good day"]}).json() for path in PATHS]
        assert "/v2/models/feelings/infer" in client.get("/endpoints").json()
        ready = client.get("/v2/models/feelings/ready").json()
        metadata = [client.get(f"/v2/models/{name}").json() for name in ("feelings", "mood")]
        entry = client.get("/config").json()["endpoints"][0]
    assert told[0] == told[1]
    assert ready == {"name": "mood", "ready": True} and metadata[0] == metadata[1]
    assert metadata[0]["name"] == "mood"
    assert told[0]["labels"] == [["good", "long"]]
    assert (entry["name"], entry["task"]) == ("mood", "sentiment_analysis")


def test_what_is_refused_for_load_is_a_line_of_the_log_as_what_is_scored(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    backend = ThreadBackend({"text": tiny.text_classification(tmp_path)})
    app = application(backend, Exchange(backend, Admission(in_flight=0, queue=0)))
    with TestClient(app) as client, caplog.at_level(logging.INFO, logger="scoring"):
        got = client.post("/predict", json={"inputs": "good"}, headers={"X-Request-Id": "mine"})
    assert got.status_code == 429
    line = json.loads(caplog.messages[-1])
    assert line == {"id": "mine", "model": "text", "status": 429, "code": "overloaded"}

"""How a client calls the endpoint without onnxferry: the code of docs/deploy/azureml.md."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import azure.identity as azure_identity
import pytest

from onnxferry.infra.clients.azure import azure_environment, credential
from onnxferry.infra.cloud import Bundle, OnlineEndpoint
from tests import tiny
from tests.documents import snippet
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers.online_scoring import KEY
from tests.infra.azureml.conftest import NAME, deploy

PAGE = "docs/deploy/azureml.md"
AZURE_AI_ML = snippet(PAGE, "MLClient(")
HTTPX = snippet(PAGE, "httpx.post(")
CURL = snippet(PAGE, "curl ")


@pytest.fixture
def place(
    cloud: OnlineEndpoint,
    azure: AzureFake,
    versions: dict[str, Bundle],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> dict[str, Any]:
    """The endpoint is live, question.json is in the working directory, and whoever asks is signed
    in."""
    deploy(cloud, versions["a"])
    monkeypatch.chdir(tmp_path)
    Path("question.json").write_text(json.dumps({"inputs": tiny.QUESTION}), encoding="utf-8")
    monkeypatch.setattr(
        azure_identity, "DefaultAzureCredential", lambda: credential(azure_environment())
    )
    return {
        "SUBSCRIPTION": SUBSCRIPTION,
        "RESOURCE_GROUP": "rg",
        "WORKSPACE": "work",
        "ENDPOINT": NAME,
    }


def test_azure_ai_ml_and_httpx(
    place: dict[str, Any], versions: dict[str, Bundle], capsys: pytest.CaptureFixture[str]
) -> None:
    exec(AZURE_AI_ML, place)  # noqa: S102
    expected = versions["a"].golden.answer["answer"]
    assert json.loads(place["answer"])["answer"] == expected
    exec(HTTPX, place)  # noqa: S102
    assert f"200 v{versions['a'].version}" in capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_curl(
    place: dict[str, Any], cloud: OnlineEndpoint, azure: AzureFake, versions: dict[str, Bundle]
) -> None:
    url = cloud.status().url
    own = {"URL": url, "KEY": KEY, "CURL_CA_BUNDLE": str(azure.certificates)}
    host = f"{NAME}.inference.ml.localhost:{azure.port}:127.0.0.1"
    Path(".curlrc").write_text(f'resolve = "{host}"\nnoproxy = "*"\n', encoding="utf-8")
    done = subprocess.run(
        ["sh", "-c", CURL],
        env={**os.environ, **own, "CURL_HOME": "."},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout)["answer"] == versions["a"].golden.answer["answer"]

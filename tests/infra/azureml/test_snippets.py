"""How a client asks the endpoint without onnxferry, as the README shows it."""

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
from tests.fakes.azure import AzureFake
from tests.fakes.azure.fake import SUBSCRIPTION
from tests.fakes.azure.providers.machinelearning import KEY
from tests.infra.azureml.conftest import NAME, deploy

AZURE_AI_ML = """
from azure.ai.ml import MLClient
from azure.identity import DefaultAzureCredential

client = MLClient(DefaultAzureCredential(), SUBSCRIPTION, RESOURCE_GROUP, WORKSPACE)
answer = client.online_endpoints.invoke(ENDPOINT, request_file="question.json")
"""

HTTPX = """
import httpx

endpoint = client.online_endpoints.get(ENDPOINT)
key = client.online_endpoints.get_keys(ENDPOINT).primary_key
response = httpx.post(
    endpoint.scoring_uri,
    headers={"Authorization": f"Bearer {key}"},  # an image: add "Content-Type": "image/jpeg", and content=its bytes
    json={"inputs": {"question": "Who was born in 1946", "context": "Dolly Rebecca Parton was born in 1946"}},
    timeout=60,
)
print(response.status_code, response.headers["azureml-model-deployment"], response.json())
"""

CURL = """
curl -sS "$URL" -H "Authorization: Bearer $KEY" -H 'Content-Type: application/json' --data @question.json
"""


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

"""/api/classify at the server, as at the function: by URL where it is allowed, and by bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from fastapi.testclient import TestClient

from tests import tiny
from tests.scoring.test_image_classification import picture
from tests.targets.local.routes.inprocess import asked
from tests.targets.local.serving import served

GREEN = picture((10, 200, 10))
URL = "https://images.example.com/cat.png"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("models")
    text = tiny.text_classification(folder / "text")
    return {"text": text, "pictures": tiny.image_classification(folder / "pictures")}


@pytest.fixture(scope="module")
def client(folders: dict[str, Path]) -> Iterator[TestClient]:
    with asked(folders) as client:
        yield client


def test_the_model_for_pictures_answers(client: TestClient) -> None:
    answer = client.post("/api/classify", content=GREEN, headers={"Content-Type": "image/png"})
    assert answer.status_code == 200
    assert answer.json()["prediction"] == "green"
    assert answer.json()["model"] == "tiny-image"
    assert answer.headers["X-Request-Id"]


def test_urls_are_off_by_default(client: TestClient) -> None:
    for answer in (
        client.get("/api/classify", params={"img": URL}),
        client.post("/api/classify", params={"img": URL}),
        client.post("/models/pictures/predict", json={"inputs": URL}),
    ):
        assert (answer.status_code, answer.json()["error"]["code"]) == (403, "url_not_allowed")
    assert client.get("/api/classify").json()["error"]["message"].startswith("'img' is missing")


@pytest.mark.host
@pytest.mark.parametrize("workers", ["0", "1"])
def test_the_servers_options_allow_urls_of_some_hosts(
    folders: dict[str, Path], tmp_path: Path, workers: str
) -> None:
    options = ("--allow-urls", "--url-hosts", "images.example.com", "--url-hosts", "*.example.org")
    with served(folders, tmp_path / "log", *options, "--workers", workers) as server:
        for url, status, says in (
            ("https://other.example.com/cat.png", 403, "not fetched from this host and port"),
            ("http://images.example.com/cat.png", 400, "begins with https://"),
        ):
            path = f"{server.url}/api/classify"
            answer = httpx.get(path, params={"img": url}, trust_env=False, timeout=30)
            assert answer.status_code == status
            assert says in answer.json()["error"]["message"]

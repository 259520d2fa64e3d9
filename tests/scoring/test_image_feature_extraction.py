"""Embeddings of pictures on a tiny graph whose hidden state is the picture itself."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxferry import scoring
from onnxferry.scoring.engine import Session
from onnxferry.scoring.errors import TooLarge
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks.image_feature_extraction import ImageFeatureExtraction
from onnxferry.scripts.prepare.sources.sample_image import sample_image
from tests import tiny

PICTURE = base64.b64encode(sample_image(4, 4)).decode()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.image_feature_extraction(tmp_path_factory.mktemp("points"))


def ask(folder: Path, payload: Any, status: int = 200) -> Any:
    response = scoring.load(folder).handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == status, response.body
    return json.loads(response.body)


def test_the_hidden_state_of_a_picture(folder: Path) -> None:
    answer = np.array(ask(folder, {"inputs": PICTURE}))
    x, y = np.meshgrid(np.arange(4) / 4, np.arange(4) / 4)
    assert answer.shape == (1, 16, 3)
    np.testing.assert_allclose(answer[0, :, 0], ((255 * x).astype(int).ravel() - 127) / 64)
    np.testing.assert_allclose(answer[0, :, 1], ((255 * y).astype(int).ravel() - 127) / 64)


def test_the_pooled_output_and_lists(folder: Path, tmp_path: Path) -> None:
    hidden = np.array(ask(folder, {"inputs": PICTURE}))
    pooled = ask(folder, {"inputs": [PICTURE, PICTURE], "parameters": {"pool": True}})
    np.testing.assert_allclose(pooled, [hidden.mean(axis=1)] * 2, rtol=1e-5)
    by_default = tiny.image_feature_extraction(tmp_path, pool=True)
    assert ask(by_default, {"inputs": PICTURE}) == pooled[0]


def test_pool_needs_a_pooled_output(tmp_path: Path) -> None:
    spec = ModelSpec.read(tiny.image_feature_extraction(tmp_path))
    tiny.colour_graph(tmp_path / "model.onnx", 4)
    answer = ask(tmp_path, {"inputs": PICTURE, "parameters": {"pool": True}}, 400)
    assert "the model has no pooler_output" in answer["error"]["message"]
    tiny.write_spec(tmp_path, ModelSpec(spec.name, spec.task, {**spec.settings, "pool": True}))
    with pytest.raises(scoring.ScoringError, match="needs a graph with the output pooler_output"):
        scoring.load(tmp_path)


def test_an_answer_is_bounded(folder: Path) -> None:
    spec = ModelSpec.read(folder)
    task = ImageFeatureExtraction(spec, Session(folder / "model.onnx"), folder, max_numbers=50)
    task.answer({"inputs": PICTURE})
    with pytest.raises(TooLarge, match="more than 50 numbers; send fewer pictures"):
        task.answer({"inputs": [PICTURE, PICTURE]})

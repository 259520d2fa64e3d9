"""Each task's package as Azure serves it without code: its script can read the signature, and its
server can write the answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from onnxferry.infra.mlflow.endpoints.azureml_requests import azureml_request_for
from onnxferry.infra.mlflow.endpoints.specs import MANIFEST
from onnxferry.scoring.wire import Request
from onnxferry.scripts.package import layout_of, package
from tests import tiny
from tests.fakes.azure.providers.mlflow_container import MlflowContainer, lacking

RANKED = {"query": "rebecca", "texts": ["dolly", "parton"]}
COMPARED = {"inputs": {"source_sentence": "dolly", "sentences": ["rebecca"]}}
ASKED = {
    "question_answering": {"inputs": tiny.QUESTION, "parameters": {"top_k": 2}},
    "text_classification": {"inputs": ["rebecca parton", "dolly"]},
    "feature_extraction": {"inputs": "rebecca"},
    "sentence_similarity": COMPARED,
    "text_ranking": RANKED,
    "token_classification": {"inputs": "dolly parton"},
    "zero_shot_classification": {"inputs": "x", "parameters": {"candidate_labels": ["a", "b"]}},
    "fill_mask": {"inputs": "dolly [MASK]"},
}
PICTURES = ("image_classification", "object_detection", "image_feature_extraction")


def files(task: str, folder: Path, image: str = "azureml") -> Mapping[str, bytes]:
    """Of the package of a tiny model of the task."""
    model = getattr(tiny, task)(folder / "model")
    built = package(model, layout_of("mlflow", image), out=folder / "out").path
    paths = (path for path in built.rglob("*") if path.is_file())
    return {path.relative_to(built).as_posix(): path.read_bytes() for path in paths}


@pytest.mark.parametrize("task", [*ASKED, *PICTURES])
def test_the_container_of_each_task_comes_up(task: str, tmp_path: Path) -> None:
    assert list(lacking(files(task, tmp_path))) == []


@pytest.mark.parametrize("task", ["feature_extraction", "text_ranking", "zero_shot_classification"])
def test_it_answers_with_what_json_can_hold(task: str, tmp_path: Path) -> None:
    found = files(task, tmp_path)
    asked = Request(json.dumps(ASKED[task]).encode())
    sent = azureml_request_for(asked, found[MANIFEST], task)
    status, body, _ = MlflowContainer(found).answer(sent.body)
    assert status == 200, body
    assert len(json.loads(body)) == 1


def test_the_plain_package_is_not_for_azure(tmp_path: Path) -> None:
    said = "\n".join(lacking(files("token_classification", tmp_path, image="")))
    assert "conda.yaml does not bring azureml-ai-monitoring" in said
    assert "the scoring script makes no sample of inputs of type any" in said

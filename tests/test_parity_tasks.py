"""Every task, on every runtime: the bytes of the scoring core in this process, of MLflow the same
answer as records (tests/test_parity.py has the rest: codecs, errors, limits, and what a runtime
forces)."""

from __future__ import annotations

import base64
from collections.abc import Callable
from pathlib import Path

import pytest

from examples.custom_task.pack import pack
from onnxferry.scoring.tasks import TASKS
from onnxferry.scoring.wire import Request
from onnxferry.scripts.prepare.sources.sample_image import sample_image
from tests import tiny
from tests.parity_requests import body
from tests.test_parity import PARALLEL, check, serve

pytestmark = pytest.mark.host
PICTURE = base64.b64encode(sample_image(10, 6)).decode()
IN_PARITY = {"question-answering", "image-classification", "tensors"}  # tests/test_parity.py

MODELS: dict[str, Callable[[Path], Path]] = {
    "text-classification": tiny.text_classification,
    "token-classification": tiny.token_classification,
    "zero-shot-classification": tiny.zero_shot_classification,
    "feature-extraction": tiny.feature_extraction,
    "fill-mask": tiny.fill_mask,
    "text-ranking": tiny.text_ranking,
    "sentence-similarity": tiny.sentence_similarity,
    "object-detection": tiny.object_detection,
    "image-feature-extraction": tiny.image_feature_extraction,
    "a task of the user's own": lambda folder: pack(
        tiny.text_classification(folder / "source"), folder / "reranker"
    ),
}
PAYLOADS: dict[str, list[object]] = {
    "text-classification": [
        {"inputs": "a very good day"},
        {"inputs": ["good", "bad"], "parameters": {"top_k": None, "function_to_apply": "sigmoid"}},
        {"inputs": {"text": "good", "text_pair": "not bad"}},
        {"inputs": "good", "parameters": {"top_k": 0}},
    ],
    "token-classification": [
        {"inputs": "naïve Dolly Rebecca was born in 1946"},
        {
            "inputs": ["Dolly Parton", "it was 😀 1946"],
            "parameters": {"aggregation_strategy": "first"},
        },
        {"inputs": "Dolly", "parameters": {"aggregation_strategy": "last"}},
    ],
    "zero-shot-classification": [
        {"inputs": "a great day", "parameters": {"candidate_labels": ["good", "bad", "day"]}},
        {"inputs": ["a day"], "parameters": {"candidate_labels": "good, bad", "multi_label": True}},
        {"inputs": "a great day"},
    ],
    "feature-extraction": [
        {"inputs": "good day"},
        {"inputs": ["good", "a day"], "parameters": {"pooling": "mean", "normalize": True}},
        {"inputs": "good", "parameters": {"pooling": "sum"}},
    ],
    "fill-mask": [
        {"inputs": f"a very {tiny.MASK} !", "parameters": {"top_k": 3}},
        {
            "inputs": [f"{tiny.MASK} day", f"good {tiny.MASK}"],
            "parameters": {"targets": ["day", "bad"]},
        },
        {"inputs": "no mask"},
    ],
    "text-ranking": [
        {"query": "a day", "texts": ["a good day", "bad", "great"], "return_text": True},
        {"query": "a day", "documents": ["bad", {"text": "great"}], "top_n": 1},
        {"inputs": {"query": "a day", "documents": ["bad"]}, "parameters": {"top_k": 0}},
    ],
    "sentence-similarity": [
        {"inputs": {"source_sentence": "good", "sentences": ["a good day", "day"]}},
        {"inputs": {"source_sentence": "good"}},
    ],
    "object-detection": [
        {"inputs": PICTURE, "parameters": {"threshold": 0.2}},
        {"inputs": [PICTURE]},
        {"inputs": PICTURE, "parameters": {"threshold": 2}},
    ],
    "image-feature-extraction": [
        {"inputs": PICTURE},
        {"inputs": [PICTURE, PICTURE], "parameters": {"pool": True}},
        {"inputs": PICTURE, "parameters": {"pool": 1}},
    ],
    "a task of the user's own": [
        {"inputs": {"query": "what is good", "documents": ["a good day", "bad"]}},
        {"inputs": {"query": "what is good"}},
    ],
}


def test_every_task_is_asked() -> None:
    assert set(TASKS) <= IN_PARITY | set(MODELS)
    assert set(MODELS) == set(PAYLOADS)


@pytest.mark.parametrize("target", PARALLEL)
@pytest.mark.parametrize("task", MODELS)
def test_a_task_is_answered_alike(tmp_path: Path, task: str, target: str) -> None:
    model = MODELS[task](tmp_path / "model")
    with serve(model, target, tmp_path / "out") as host:
        for payload in PAYLOADS[task]:
            check(host, model, target, ("", Request(body(payload))))

"""What is served equals what the source model says: the demo's models against transformers'
pipelines and PyTorch.

The built-in inputs always run; with --data DIR also 200 questions of SQuAD's dev set and 200
GoEmotions comments.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skimage
import torch
import transformers
from packaging.version import Version
from peft import PeftModel
from PIL import Image
from transformers import (
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    pipeline,
)

from examples.models import Example, examples, ready
from onnxferry import scoring
from onnxferry.scripts.datasets.built_in import BUILT_IN
from tests.golden.questions import GoldenAnswers

pytestmark = [pytest.mark.models, pytest.mark.toolchain]
OLDER = pytest.mark.skipif(
    Version(transformers.__version__).major > 4,
    reason="transformers 5 has no question-answering pipeline",
)

PHOTOGRAPHS = (
    "astronaut.png",
    "brick.png",
    "cell.png",
    "chelsea.png",
    "coffee.png",
    "coins.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "motorcycle_left.png",
    "rocket.jpg",
)


@pytest.fixture(scope="session")
def demo() -> dict[str, Example]:
    return {example.name: example for example in examples()}


def serve(example: Example, payload: Any) -> Any:
    response = scoring.load(ready(example)).handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


def source(example: Example, base: Any, task: str, **settings: Any) -> Any:
    """transformers' own pipeline over the unconverted model: base weights, adapter merged,
    float32."""
    model = base.from_pretrained(example.options.source, **settings)
    merged = (
        PeftModel.from_pretrained(model, str(example.options.adapter)).merge_and_unload().eval()
    )
    return pipeline(
        task,
        model=merged,
        tokenizer=AutoTokenizer.from_pretrained(example.options.source),
        device="cpu",
    )


@pytest.fixture(scope="session")
def questions(demo: dict[str, Example]) -> Any:
    return source(demo["minilm-squad"], AutoModelForQuestionAnswering, "question-answering")


@pytest.fixture(scope="session")
def emotions(demo: dict[str, Example]) -> Any:
    example = demo["minilm-goemotions"]
    assert example.options.labels is not None
    labels = example.options.labels.read_text().split()
    names = {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }
    settings = {"num_labels": len(labels), "problem_type": "multi_label_classification", **names}
    return source(example, AutoModelForSequenceClassification, "text-classification", **settings)


def inputs(name: str) -> list[Any]:
    return [
        json.loads(line)["inputs"]
        for line in (BUILT_IN / name).read_text(encoding="utf-8").splitlines()
        if line
    ]


def differing(example: Example, expected: Sequence[Any], items: Sequence[Any]) -> list[str]:
    """The questions whose answer is not the expected one, each with both answers."""
    ours = serve(example, {"inputs": list(items)})
    found = []
    for item, answer, theirs in zip(items, ours, expected, strict=True):
        assert item["context"][answer["start"] : answer["end"]] == answer["answer"]
        if (
            any(theirs[key] != answer[key] for key in ("answer", "start", "end"))
            or abs(theirs["score"] - answer["score"]) > 1e-4
        ):
            found.append(f"{item['question']!r}: pipeline {theirs}, served {answer}")
    return found


def test_answers_are_those_of_the_question_answering_pipeline(demo: dict[str, Example]) -> None:
    """Of transformers 4, frozen."""
    for case in GoldenAnswers.read("minilm-squad").cases:
        assert differing(demo["minilm-squad"], case.answers, case.inputs) == []


@OLDER
def test_200_squad_questions_have_the_pipelines_answers(
    demo: dict[str, Example], questions: Any, data: Callable[[str], Path]
) -> None:
    articles = json.loads(data("squad-dev-v1.1.json").read_text(encoding="utf-8"))["data"]
    paragraphs = [p for article in articles for p in article["paragraphs"]]
    every = [
        {"question": qa["question"], "context": p["context"]} for p in paragraphs for qa in p["qas"]
    ]
    asked = every[:: len(every) // 200][:200]
    found = differing(demo["minilm-squad"], [questions(**item) for item in asked], asked)
    print(f"{200 - len(found)} of 200 answers equal the pipeline's", *found, sep="\n")
    assert len(found) <= 1, found


def largest_difference(example: Example, reference: Any, texts: Sequence[str]) -> float:
    """The largest difference of any label's score on any text."""
    ours = serve(example, {"inputs": list(texts)})
    theirs = reference(list(texts), top_k=None)
    scores = [
        [{row["label"]: row["score"] for row in rows} for rows in answers]
        for answers in (ours, theirs)
    ]
    return max(float(abs(a[label] - b[label])) for a, b in zip(*scores, strict=True) for label in b)


def test_scores_are_those_of_the_text_classification_pipeline(
    demo: dict[str, Example], emotions: Any
) -> None:
    assert (
        largest_difference(demo["minilm-goemotions"], emotions, inputs("text-classification.jsonl"))
        < 1e-4
    )


def test_200_comments_have_the_pipelines_scores(
    demo: dict[str, Example], emotions: Any, data: Callable[[str], Path]
) -> None:
    rows = data("goemotions/test.tsv").read_text(encoding="utf-8").splitlines()
    texts = [row.split("\t")[0] for row in rows if row.strip()]
    difference = largest_difference(
        demo["minilm-goemotions"], emotions, texts[:: len(texts) // 200][:200]
    )
    print(f"200 comments, largest difference of a score {difference:.1e}")
    assert difference < 1e-4


def reference_pixels(picture: Image.Image) -> torch.Tensor:
    """EfficientNet-Lite's recipe, written out again: 0.875 of the short side, bicubic to 224, (x -
    127) / 128."""
    width, height = picture.size
    side = int(0.875 * min(width, height))
    left, top = (width - side) // 2, (height - side) // 2
    square = picture.crop((left, top, left + side, top + side)).resize(
        (224, 224), Image.Resampling.BICUBIC
    )
    pixels = (np.asarray(square).astype(np.float32) - 127) / 128
    return torch.from_numpy(pixels).permute(2, 0, 1)[None]


def test_ten_photographs_have_the_source_models_top_five(demo: dict[str, Example]) -> None:
    from examples.imagenet.model import build

    example = demo["efficientnet-lite0"]
    network, scorer = build(), scoring.load(ready(example))
    assert example.options.labels is not None
    labels = example.options.labels.read_text(encoding="utf-8").splitlines()
    folder = Path(skimage.__file__).parent / "data"
    for name in PHOTOGRAPHS:
        picture = Image.open(folder / name).convert("RGB")
        with torch.no_grad():
            scores = network(reference_pixels(picture)).softmax(1)[0]
        expected = [
            (labels[i], pytest.approx(scores[i].item(), abs=1e-4))
            for i in scores.argsort(descending=True)[:5]
        ]
        body = io.BytesIO()
        picture.save(body, "PNG")
        response = scorer.handle(scoring.Request(body.getvalue(), "image/png"))
        assert [(row["label"], row["score"]) for row in json.loads(response.body)] == expected, name

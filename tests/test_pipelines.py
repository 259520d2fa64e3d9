"""The same request, the same answer: every task against transformers' own pipeline, on tiny models
with random weights.

Five families of text models and two of picture models, 1000 generated inputs a task in all, seeds
fixed. Everything in an answer must be equal but its scores, which may differ by 1e-4. Texts are
made to be awkward: words in pieces, glued words, characters outside the BMP, accents, special
tokens spelled out, texts that are longer than the model.
"""

from __future__ import annotations

import base64
import io
import json
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from packaging.version import Version
from PIL import Image
from tokenizers import Tokenizer

from onnxferry import scoring
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.prepare.sources.huggingface.torch_export import GraphRequest, export
from onnxferry.scripts.prepare.sources.settings.image_settings import image_settings
from tests import architectures, tiny, weights
from tests.architectures import (
    FAMILIES,
    Twins,
    generator,
    sentence,
    sentences,
    size,
    tokenizer,
    twins,
)
from tests.golden.make import family as golden_family
from tests.golden.questions import GoldenAnswers

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.toolchain]
OLDER = Version(transformers.__version__).major < 5  # it still has pipelines and parameters of then
Call = Callable[[Any, Any, dict[str, Any]], Any]  # pipeline, inputs, parameters -> its answer


def differences(expected: Any, got: Any, path: str = "") -> Iterator[str]:
    """Where two answers differ, scores by more than 1e-4."""
    if isinstance(expected, float | np.floating) and isinstance(got, float):
        if not math.isclose(expected, got, rel_tol=1e-4, abs_tol=1e-4):
            yield f"{path}: {expected} became {got}"
    elif isinstance(expected, dict) and isinstance(got, dict) and expected.keys() == got.keys():
        for key, value in expected.items():
            yield from differences(value, got[key], f"{path}.{key}")
    elif isinstance(expected, list) and isinstance(got, list) and len(expected) == len(got):
        for i, value in enumerate(expected):
            yield from differences(value, got[i], f"{path}[{i}]")
    elif expected != got:
        yield f"{path}: {str(expected)[:200]!r} became {str(got)[:200]!r}"


def serve(folder: Path, inputs: Any, parameters: dict[str, Any]) -> Any:
    response = scoring.load(folder).handle(
        scoring.Request(json.dumps({"inputs": inputs, "parameters": parameters}).encode())
    )
    assert response.status == 200, response.body
    return json.loads(response.body)


def compare(
    pair: Twins, inputs: Sequence[Any], variants: Sequence[dict[str, Any]], call: Call
) -> None:
    """Each variant of the parameters on its share of the inputs."""
    for k, parameters in enumerate(variants):
        share = list(inputs[k :: len(variants)])
        expected = call(pair.pipeline, share, parameters)
        got = serve(pair.folder, share, parameters)
        wrong = {
            i: list(differences(e, g)) for i, (e, g) in enumerate(zip(expected, got, strict=True))
        }
        found = {repr(share[i])[:300]: where for i, where in wrong.items() if where}
        assert not found, (parameters, len(found), dict(list(found.items())[:5]))


def every(pipeline: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
    return [pipeline(item, **parameters) for item in inputs]


def together(pipeline: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
    return pipeline(inputs, **parameters)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """More make such small models slower."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def test_text_classification(family: str, tmp_path: Path) -> None:
    draw, texts = generator(family), sentences(family)
    pairs: list[Any] = [
        t if i % 2 else {"text": t, "text_pair": sentence(draw, 30)} for i, t in enumerate(texts)
    ]
    variants: list[dict[str, Any]] = [
        {},
        {"top_k": 2},
        {"top_k": None},
        {"top_k": 5, "function_to_apply": "none"},
        {"function_to_apply": "sigmoid"},
        {"max_length": 16},
        *([{"return_all_scores": True}] if OLDER else []),
    ]
    single = twins(family, "text-classification", tmp_path / "single", ("bad", "good", "so-so"))
    compare(single, pairs, [{"truncation": True, **variant} for variant in variants], together)
    multi = twins(
        family,
        "text-classification",
        tmp_path / "multi",
        ("a", "b"),
        problem_type="multi_label_classification",
    )
    compare(
        multi, texts[:20], [{"truncation": True}, {"truncation": True, "top_k": None}], together
    )


def test_token_classification(family: str, tmp_path: Path) -> None:
    texts = sentences(family)
    variants: list[dict[str, Any]] = [
        {"aggregation_strategy": name} for name in ("none", "simple", "first", "average", "max")
    ]
    variants += [
        {},
        {"ignore_labels": []},
        {"aggregation_strategy": "simple", "ignore_labels": ["PER"]},
    ]
    variants += [
        {"stride": 5, "aggregation_strategy": name}
        for name in ("simple", "first", "average", "max")
    ]
    variants += [{"stride": 0}]
    if OLDER:
        variants += [
            {"grouped_entities": True},
            {"grouped_entities": True, "ignore_subwords": True},
        ]
    pair = twins(
        family,
        "token-classification",
        tmp_path / "m",
        ("O", "B-PER", "I-PER", "B-LOC-X", "I-LOC-X", "MISC"),
    )
    compare(pair, texts, variants, every)


def test_zero_shot_classification(family: str, tmp_path: Path) -> None:
    texts = sentences(family)
    three, two = ("contradiction", "neutral", "Entailment"), ("entailment", "not_entailment")
    variants: list[dict[str, Any]] = [
        {"candidate_labels": ["music", "cities"]},
        {"candidate_labels": "music, cities,food "},
        {"candidate_labels": ["music", "cities"], "multi_label": True},
        {"candidate_labels": ["singer-songwriter"]},
        {"candidate_labels": ["music", "東京"], "hypothesis_template": "It's about {}!"},
    ]
    compare(
        twins(family, "zero-shot-classification", tmp_path / "3", three), texts, variants, together
    )
    compare(
        twins(family, "zero-shot-classification", tmp_path / "2", two),
        texts[:20],
        variants[:4],
        together,
    )


def test_question_answering(family: str, tmp_path: Path) -> None:
    """transformers 5 has no such pipeline: these are the answers of version 4."""
    known = GoldenAnswers.read(family)
    words = architectures.fast(family, Tokenizer.from_str(json.dumps(known.tokenizer)))
    task = "question-answering"
    model = weights.fill(architectures.network(family, task, ()), architectures.SCALE)
    spec = ModelSpec(f"tiny-{family}", task, {})
    folder = architectures.write(model, words, FAMILIES[family].inputs, spec, tmp_path / "m")
    for case in known.cases:
        got = serve(folder, list(case.inputs), dict(case.parameters))
        wrong = [list(differences(e, g)) for e, g in zip(case.answers, got, strict=True)]
        assert not any(wrong), (case.parameters, [each for each in wrong if each][:5])


@pytest.mark.skipif(not OLDER, reason="transformers 5 has no question-answering pipeline")
def test_the_frozen_answers_are_still_those_of_the_pipeline() -> None:
    for family in FAMILIES:
        known = GoldenAnswers.read(family)
        made = golden_family(family, known.tokenizer)
        for frozen, now in zip(known.cases, made.cases, strict=True):
            assert (frozen.inputs, frozen.parameters) == (now.inputs, now.parameters)
            assert not list(differences(list(now.answers), list(frozen.answers)))


def test_fill_mask(family: str, tmp_path: Path) -> None:
    draw, mask = generator(family), FAMILIES[family].tokens["mask"]
    texts = []
    for i, text in enumerate(sentences(family)):
        parts = text.split(" ")
        parts.insert(draw.randint(0, 1), mask)
        if i % 4 == 0:
            parts.insert(2, mask)
        texts.append(" ".join(parts))
    texts = [
        text
        for text in texts
        if size(tokenizer(family), text.rpartition(mask)[0]) < architectures.LENGTH - 2
    ]
    variants: list[dict[str, Any]] = [
        {},
        {"top_k": 1},
        {"targets": ["parton", "a", "sings"], "top_k": 2},
        {"targets": "unbelievableparton"},
    ]
    made = twins(family, "fill-mask", tmp_path / "m", mask_token=mask)

    def call(pipeline: Any, inputs: Any, parameters: dict[str, Any]) -> Any:
        return [
            pipeline(text, **{**parameters, "tokenizer_kwargs": {"truncation": True}})
            for text in inputs
        ]

    compare(made, texts, variants, call)


def test_feature_extraction(family: str, tmp_path: Path) -> None:
    texts = sentences(family)
    pair = twins(family, "feature-extraction", tmp_path / "m")
    compare(
        pair,
        texts,
        [{"truncation": True}, {"tokenize_kwargs": {"truncation": True, "max_length": 12}}],
        together,
    )


PICTURES = {
    "vit": (
        "ViTForImageClassification",
        transformers.ViTConfig(
            image_size=32, patch_size=8, initializer_range=0.4, **architectures.SIZES
        ),
        transformers.ViTImageProcessor(size={"height": 32, "width": 32}),
    ),
    "convnext": (
        "ConvNextForImageClassification",
        transformers.ConvNextConfig(
            hidden_sizes=[8, 16], depths=[1, 1], num_stages=2, initializer_range=0.4
        ),
        transformers.ConvNextImageProcessor(size={"shortest_edge": 32}),
    ),
}


def picture(draw: np.random.Generator) -> Image.Image:
    """Coloured noise in large blocks, of any shape and mode."""
    height, width = draw.integers(3, 9, 2)
    pixels = draw.integers(0, 256, (height, width, 3), np.uint8)
    size = tuple(int(n) for n in draw.integers(20, 90, 2))
    mode = str(draw.choice(["RGB", "RGB", "L", "RGBA", "P"]))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC).convert(mode)


def png(image: Image.Image) -> bytes:
    out = io.BytesIO()
    image.save(out, "PNG")
    return out.getvalue()


@pytest.mark.parametrize("kind", PICTURES)
def test_image_classification(kind: str, tmp_path: Path) -> None:
    name, config, processor = PICTURES[kind]
    labels = tuple(f"thing {i}" for i in range(7))
    torch.manual_seed(0)
    config.update(
        {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
    )
    model = getattr(transformers, name)(config).eval()
    wanted = GraphRequest("image-classification", size=(32, 32))
    export(model, tmp_path / "model.onnx", wanted)
    settings = image_settings(processor.to_dict(), {})
    tiny.write_spec(tmp_path, ModelSpec(f"tiny-{kind}", "image-classification", settings, labels))
    pipeline = transformers.pipeline(
        "image-classification", model=model, image_processor=processor, device="cpu"
    )
    draw = np.random.default_rng(0)
    pictures = [picture(draw) for _ in range(500)]
    variants: list[dict[str, Any]] = [
        {},
        {"top_k": 1},
        {"top_k": 100},
        {"function_to_apply": "sigmoid"},
        {"function_to_apply": "none"},
        {"top_k": None},
    ]
    for k, parameters in enumerate(variants):
        share = pictures[k :: len(variants)]
        got = serve(tmp_path, [base64.b64encode(png(p)).decode() for p in share], parameters)
        expected = [pipeline(Image.open(io.BytesIO(png(p))), **parameters) for p in share]
        assert not list(differences(expected, got)), parameters

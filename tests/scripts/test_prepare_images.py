"""Detectors, vision models without a head and regressions: tiny folders of random weights become
model directories that answer as transformers' pipeline, on generated pictures of several sizes."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from PIL import Image

from onnxferry import scoring
from onnxferry.scripts.prepare import prepare
from onnxferry.scripts.prepare.sources.huggingface import transformers_model
from onnxferry.scripts.prepare.sources.inspection.task_inference import infer_task
from onnxferry.system.errors import UsageError
from tests import tiny
from tests.scripts import checkpoints
from tests.scripts.checkpoints import as_exported

pytestmark = [pytest.mark.toolchain, pytest.mark.filterwarnings("ignore")]
SIZES = ((64, 64), (30, 80), (120, 41), (64, 96), (200, 90), (33, 20))  # width, height
DETECTORS: dict[str, Callable[[Path], Path]] = {
    "detr": checkpoints.detr,
    "yolos": checkpoints.yolos,
    "rt-detr": checkpoints.rt_detr,
}
SLOW = {"rt-detr": [pytest.mark.large]}  # its attention makes a graph of many operators


@dataclass(frozen=True)
class Twins:
    """One model twice: transformers' pipeline, and the model directory."""

    pipeline: Any
    folder: Path
    spec: scoring.ModelSpec

    def both(self, pictures: list[Image.Image], **parameters: Any) -> Iterator[tuple[Any, Any]]:
        coded = [base64.b64encode(png(picture)).decode() for picture in pictures]
        body = json.dumps({"inputs": coded, "parameters": parameters}).encode()
        response = scoring.load(self.folder).handle(scoring.Request(body))
        assert response.status == 200, response.body
        for picture, answer in zip(pictures, json.loads(response.body), strict=True):
            yield self.pipeline(picture, **parameters), answer


def png(picture: Image.Image) -> bytes:
    out = io.BytesIO()
    picture.save(out, "PNG")
    return out.getvalue()


def pictures() -> list[Image.Image]:
    """Coloured noise in large blocks, some of it grey or with transparency."""
    draw, found = np.random.default_rng(0), []
    for i, size in enumerate(SIZES):
        blocks = Image.fromarray(draw.integers(0, 256, (5, 7, 3), np.uint8))
        found.append(blocks.resize(size, Image.Resampling.BICUBIC).convert(("RGB", "L")[i % 2]))
    return found


def twins(source: Path, out: Path, task: str | None = None) -> Twins:
    spec = prepare(as_exported(str(source), out, task=task))
    config = transformers_model.read_config(source)
    model = transformers_model.load(source, config, spec.task, None)
    processor = transformers_model.image_processor(source)
    made = transformers.pipeline(spec.task, model=model, image_processor=processor, device="cpu")
    return Twins(made, out, spec)


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, marks=SLOW.get(kind, [])) for kind in DETECTORS]
)
def test_a_detector_finds_what_the_pipeline_finds(kind: str, tmp_path: Path) -> None:
    pair = twins(DETECTORS[kind](tmp_path / kind), tmp_path / "out")
    assert pair.spec.task == "object-detection"
    assert pair.spec.labels == checkpoints.LABELS
    assert pair.spec.provenance["difference"]["pipeline"]["agreement"] == 1.0
    assert pair.spec.golden is not None
    assert pair.spec.golden.answer
    found = list(pair.both(pictures(), threshold=0.0))
    some = list(pair.both(pictures(), threshold=_middle_score(found)))
    counts = [sum(len(ours) for _, ours in answers) for answers in (found, some)]
    assert 0 < counts[1] < counts[0]
    for theirs, ours in (*found, *some, *pair.both(pictures())):  # which has the default threshold
        assert _without_scores(ours) == _without_scores(theirs)
        np.testing.assert_allclose(_scores(ours), _scores(theirs), atol=1e-5)


def _middle_score(found: list[tuple[Any, Any]]) -> float:
    """A threshold between two scores that are not near each other."""
    scores = sorted(score for _, ours in found for score in _scores(ours))
    middle = len(scores) // 2
    _, i = max((scores[i + 1] - scores[i], i) for i in range(middle - 3, middle + 3))
    return float(scores[i] + scores[i + 1]) / 2


def _scores(answer: Any) -> list[float]:
    return [row["score"] for row in answer]


def _without_scores(answer: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(found["label"], tuple(found["box"].values())) for found in answer]


@pytest.mark.parametrize("kind", checkpoints.VISION)
def test_a_picture_has_the_pipelines_features(kind: str, tmp_path: Path) -> None:
    pair = twins(checkpoints.vision(tmp_path / kind, kind), tmp_path / "out")
    assert pair.spec.task == "image-feature-extraction"
    for pool in (False, True):
        for theirs, ours in pair.both(pictures(), pool=pool):
            assert np.shape(ours) == np.shape(theirs)
            np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_a_pooler_without_weights_is_left_out(tmp_path: Path) -> None:
    source = checkpoints.vit(tmp_path / "vit")  # a classifier, which has none
    spec = prepare(as_exported(str(source), tmp_path / "out", task="image-feature-extraction"))
    assert [tensor.name for tensor in spec.outputs] == ["last_hidden_state"]
    pictures = base64.b64encode(png(Image.new("RGB", (9, 9)))).decode()
    body = json.dumps({"inputs": pictures, "parameters": {"pool": True}}).encode()
    response = scoring.load(tmp_path / "out").handle(scoring.Request(body))
    assert (response.status, b"has no pooler_output" in response.body) == (400, True)


@pytest.mark.parametrize("labels", [1, 2])
def test_a_picture_regression_gives_what_the_model_gives(tmp_path: Path, labels: int) -> None:
    config = transformers.ViTConfig(
        **checkpoints.SIZES,
        image_size=32,
        patch_size=8,
        problem_type="regression",
        num_labels=labels,
    )
    source = tmp_path / "vit"
    checkpoints.scaled(transformers.ViTForImageClassification(config), source)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(source)
    pair = twins(source, tmp_path / "out")
    assert pair.spec.settings["problem_type"] == "regression"
    # transformers 4 applies sigmoid or softmax unless it is told
    asked = {"function_to_apply": "none"} if transformers.__version__ < "5" else {}
    defaults = [mine for _, mine in pair.both(pictures())]
    expected = [theirs for theirs, _ in pair.both(pictures(), **asked)]
    for ours, theirs in zip(defaults, expected, strict=True):
        assert [row["label"] for row in ours] == [row["label"] for row in theirs]
        np.testing.assert_allclose(_scores(ours), _scores(theirs), atol=1e-4)


def test_a_text_regression_gives_what_the_pipeline_gives(tmp_path: Path) -> None:
    source = checkpoints.cross_encoder(tmp_path / "bert", problem_type="regression")
    spec = prepare(as_exported(str(source), tmp_path / "out"))
    assert (spec.task, spec.settings["problem_type"]) == ("text-classification", "regression")
    assert spec.provenance["difference"]["pipeline"]["agreement"] == 1.0
    model = transformers_model.load(source, transformers_model.read_config(source), spec.task, None)
    tokenizer = transformers.AutoTokenizer.from_pretrained(source)
    pipeline = transformers.pipeline(spec.task, model=model, tokenizer=tokenizer, device="cpu")
    texts = ["a good day", "dolly parton sings", "what is the name of"]
    body = json.dumps({"inputs": texts}).encode()
    response = scoring.load(tmp_path / "out").handle(scoring.Request(body))
    for ours, theirs in zip(json.loads(response.body), pipeline(texts), strict=True):
        assert ours == {**theirs, "score": pytest.approx(theirs["score"], abs=1e-4)}


@pytest.mark.parametrize("task", ["object-detection", "image-feature-extraction"])
def test_an_onnx_file_with_settings_is_taken(task: str, tmp_path: Path) -> None:
    made = getattr(tiny, task.replace("-", "_"))(tmp_path / "tiny")
    spec = scoring.ModelSpec.read(made)
    (tmp_path / "settings.json").write_text(json.dumps(dict(spec.settings)))
    (tmp_path / "labels.json").write_text(json.dumps(list(spec.labels)))
    options = as_exported(str(made / "model.onnx"), tmp_path / "out", task=task)
    labels = tmp_path / "labels.json" if spec.labels else None
    prepared = prepare(replace(options, settings=tmp_path / "settings.json", labels=labels))
    assert (prepared.task, prepared.labels) == (task, spec.labels)
    assert prepared.golden is not None
    halves_or_picture = 2 if spec.labels else 1
    assert len(prepared.golden.answer) == halves_or_picture


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model_type": "vit"}, "object-detection by 'vit' is not supported; known: conditional"),
        ({"model_type": "deta"}, "object-detection by 'deta' is not supported"),
    ],
)
def test_another_detector_is_refused(changes: dict[str, str], message: str, tmp_path: Path) -> None:
    from onnxferry.scripts.prepare.sources.settings.head_settings import head_settings

    with pytest.raises(UsageError, match=message):
        head_settings("object-detection", tmp_path, changes)


@pytest.mark.parametrize(
    ("architecture", "config", "task"),
    [
        ("ViTModel", transformers.ViTConfig(), "image-feature-extraction"),
        ("BertModel", transformers.BertConfig(), "feature-extraction"),
        ("DetrForObjectDetection", transformers.ViTConfig(), "object-detection"),
        ("ViTForImageClassification", transformers.ViTConfig(), "image-classification"),
    ],
)
def test_the_task_is_told_by_the_architecture(
    architecture: str, config: Any, task: str, tmp_path: Path
) -> None:
    config.architectures = [architecture]
    assert infer_task(config.to_dict(), tmp_path, None) == task

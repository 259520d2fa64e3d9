"""Object detection on a tiny graph whose objects are the two halves of a picture, labelled by their
strongest colour."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from onnxferry import scoring
from onnxferry.scoring.engine import Array, Session
from onnxferry.scoring.image_runner import ImageRunner
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks.object_detection import ObjectDetection
from tests import tiny


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.object_detection(tmp_path_factory.mktemp("boxes")))


def picture(width: int, height: int, turn: int | None = None) -> bytes:
    """The left half is red, the right half blue."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[:, : width // 2, 0] = pixels[:, width // 2 :, 2] = 255
    out, exif = io.BytesIO(), Image.Exif()
    if turn:
        exif[0x0112] = turn
    Image.fromarray(pixels).save(out, "PNG", exif=exif)
    return out.getvalue()


def coded(data: bytes) -> str:
    return base64.b64encode(data).decode()


def ask(scorer: scoring.Scorer, request: scoring.Request, status: int = 200) -> Any:
    response = scorer.handle(request)
    assert response.status == status, response.body
    return json.loads(response.body)


def body(inputs: Any, **parameters: Any) -> scoring.Request:
    return scoring.Request(json.dumps({"inputs": inputs, "parameters": parameters}).encode())


def box(*corners: int) -> dict[str, int]:
    return dict(zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True))


def test_objects_with_their_boxes_in_pixels_of_the_picture(scorer: scoring.Scorer) -> None:
    answer = ask(scorer, scoring.Request(picture(21, 6), "image/png"))
    logits = np.array([2, -127 / 64, -127 / 64, 0])
    score = np.exp(2) / np.exp(logits).sum()
    assert answer == [
        {"score": pytest.approx(score), "label": "red", "box": box(0, 0, 10, 6)},
        {"score": pytest.approx(score), "label": "blue", "box": box(10, 0, 21, 6)},
    ]


def test_only_what_is_above_the_threshold(scorer: scoring.Scorer, tmp_path: Path) -> None:
    one = coded(picture(20, 6))
    assert len(ask(scorer, body(one, threshold=0.8))) == 2
    assert ask(scorer, body(one, threshold=0.9)) == []
    assert ask(scorer, body([one], threshold=1)) == [[]]
    strict = scoring.load(tiny.object_detection(tmp_path, threshold=0.9))
    assert ask(strict, body(one)) == []
    assert len(ask(strict, body(one, threshold=0))) == 2


def test_pictures_of_several_sizes_in_one_request(scorer: scoring.Scorer) -> None:
    sizes = ((20, 6), (6, 20), (40, 40))
    answer = ask(scorer, body([coded(picture(*size)) for size in sizes]))
    assert [found[1]["box"] for found in answer] == [box(w // 2, 0, w, h) for w, h in sizes]


class Recorder:
    """A graph that keeps how many pictures each of its runs had."""

    parallel_runs, shared_runs = 1, False

    def __init__(self, graph: Session) -> None:
        self.inputs, self.outputs, self.batch_dependent = graph.inputs, graph.outputs, False
        self.graph, self.runs = graph, list[int]()

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        self.runs.append(len(feeds["pixel_values"]))
        return self.graph.run(feeds)


@pytest.mark.parametrize(("side", "runs"), [(32, [8, 2]), (1000, [1] * 10)])
def test_large_pictures_run_one_by_one(tmp_path: Path, side: int, runs: list[int]) -> None:
    folder = tiny.object_detection(tmp_path, side=side)
    recorder = Recorder(Session(folder / "model.onnx"))
    task = ObjectDetection(ModelSpec.read(folder), recorder, folder)
    answers = task.answer({"inputs": [coded(picture(20, 6))] * 10})
    assert recorder.runs == runs
    assert answers == [answers[0]] * 10
    assert len(answers[0]) == 2


def test_no_more_requests_than_runs_hold_decoded_pictures_at_a_time(tmp_path: Path) -> None:
    folder = tiny.object_detection(tmp_path, side=32)
    recorder, lock, now, most = Recorder(Session(folder / "model.onnx")), threading.Lock(), 0, 0
    recorder.parallel_runs = 2
    task = ObjectDetection(ModelSpec.read(folder), recorder, folder)
    prepared = ImageRunner._prepared

    def counted(self: ImageRunner, data: bytes) -> Any:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        made = prepared(self, data)
        with lock:
            now -= 1
        return made

    with pytest.MonkeyPatch.context() as patch, ThreadPoolExecutor(16) as threads:
        patch.setattr(ImageRunner, "_prepared", counted)
        body = {"inputs": [coded(picture(20, 6))] * 3}
        answers = list(threads.map(task.answer, [body] * 32))
    assert answers == [answers[0]] * 32
    assert most <= 2


def test_boxes_are_in_the_picture_as_its_exif_turns_it(scorer: scoring.Scorer) -> None:
    turned = ask(scorer, scoring.Request(picture(20, 6, turn=3), "image/png"))
    assert [(o["label"], o["box"]["xmin"]) for o in turned] == [("blue", 0), ("red", 10)]


def test_every_label_of_every_query_where_scores_are_sigmoids(tmp_path: Path) -> None:
    focal = scoring.load(
        tiny.object_detection(tmp_path / "two", function_to_apply="sigmoid")
    )  # logits: 2, -1.98, -1.98 and "none" 0
    answer = ask(focal, body(coded(picture(20, 6)), threshold=0.1))
    assert [o["label"] for o in answer] == ["red", "blue"]  # as many as queries
    assert answer[0]["score"] == pytest.approx(1 / (1 + np.exp(-2)))
    four = scoring.load(
        tiny.object_detection(tmp_path / "four", function_to_apply="sigmoid", top_k=4)
    )
    answer = ask(four, body(coded(picture(20, 6)), threshold=0.1))
    assert [o["label"] for o in answer] == ["red", "blue", "none", "none"]
    assert [o["box"]["xmin"] for o in answer] == [0, 10, 0, 10]


@pytest.mark.parametrize("threshold", [-0.1, 1.5, "0.5", True])
def test_a_threshold_is_a_share(scorer: scoring.Scorer, threshold: Any) -> None:
    refused = ask(scorer, body(coded(picture(4, 4)), threshold=threshold), 400)
    assert "'parameters.threshold' must be" in refused["error"]["message"]


def test_a_graph_that_does_not_fit_its_labels_is_refused(tmp_path: Path) -> None:
    tiny.object_detection(tmp_path, function_to_apply="sigmoid")
    spec = (tmp_path / "model_spec.json").read_text().replace("sigmoid", "softmax")
    (tmp_path / "model_spec.json").write_text(spec)
    with pytest.raises(scoring.ScoringError, match="4 names, which need 5 classes"):
        scoring.load(tmp_path)


def test_a_graph_without_boxes_is_refused(tmp_path: Path) -> None:
    tiny.object_detection(tmp_path)
    tiny.colour_graph(tmp_path / "model.onnx", 4)
    with pytest.raises(scoring.ScoringError, match="has no output pred_boxes"):
        scoring.load(tmp_path)

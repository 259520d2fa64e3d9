"""Object detection: what is where in a picture.

Request: the bytes of one image as the body, or {"inputs": base64 | [base64, ...], "parameters":
{"threshold"}}. Answer, as transformers' pipeline gives it: the objects with a score above the
threshold, [{"score", "label", "box": {"xmin", "ymin", "xmax", "ymax"}}, ...], the box in pixels of
the picture as it was sent (turned as its EXIF says); a list for a list.

The graph gives `logits` [batch, queries, classes] and `pred_boxes` [batch, queries, 4]: centre,
width and height as shares of the picture. Settings: those of scoring/images.py, `threshold` (0.5),
and how the logits are read: `function_to_apply` "softmax", where the last class is "no object" and
each query has its best label (DETR, YOLOS), or "sigmoid", where every label of every query is a
candidate and the `top_k` best (null: as many as queries) count (RT-DETR, Conditional DETR).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from onnxferry.scoring import images, settings, validation
from onnxferry.scoring.codecs import IMAGES, JSON
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InternalError, InvalidValue
from onnxferry.scoring.image_runner import ImageRunner
from onnxferry.scoring.labels import sigmoid, softmax
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.validation import Parameter

OUTPUTS = ("logits", "pred_boxes")
CORNERS = ("xmin", "ymin", "xmax", "ymax")
Found: TypeAlias = tuple[Array, Array, Array]
"""Of some candidates: their scores, the indices of their labels, and of their queries."""


def _one_a_query(logits: Array, top_k: int | None) -> Found:
    scores = softmax(logits)[:, :-1]
    return scores.max(axis=-1), scores.argmax(axis=-1), np.arange(len(logits))


def _best_of_all(logits: Array, top_k: int | None) -> Found:
    scores, classes = sigmoid(logits).ravel(), logits.shape[1]
    order = np.argsort(-scores, kind="stable")[: top_k or len(logits)]
    return scores[order], order % classes, order // classes


# logits [queries, classes], top_k -> candidates; and how many classes have no label
READINGS: dict[str, tuple[Callable[[Array, int | None], Found], int]] = {
    "softmax": (_one_a_query, 1),
    "sigmoid": (_best_of_all, 0),
}


def _threshold(value: object, where: str) -> float:
    if not 0 <= (share := validation.number(value, where)) <= 1:
        raise InvalidValue(f"'{where}' must be between 0 and 1")
    return share


SETTINGS = {
    **images.SETTINGS,
    "threshold": Parameter(_threshold, 0.5),
    "function_to_apply": Parameter(validation.one_of(*READINGS), "softmax"),
    "top_k": Parameter(validation.positive_or_null, None, null=True),
}


class ObjectDetection:
    """A Task; see the module."""

    accepts = (JSON, *IMAGES)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._images = ImageRunner.load(spec, runner, values)
        self._outputs, self._names = _outputs(runner), spec.labels
        self._read, unnamed = READINGS[values["function_to_apply"]]
        self._top_k, self._classes = values["top_k"], len(spec.labels) + unnamed
        *_, size = runner.outputs[self._outputs[0]].shape or ("?",)
        if not spec.labels or (isinstance(size, int) and size != self._classes):
            held = f"'labels' holds {len(spec.labels)} names, which need {self._classes} classes"
            raise ValueError(f"{held}; the graph gives {size}")
        self._parameters = {"threshold": Parameter(_threshold, values["threshold"])}

    def answer(self, payload: Any) -> Any:
        """See the module."""
        pictures = self._images.read(payload)
        threshold = validation.parameters(pictures.body, self._parameters)["threshold"]

        def read(row: Sequence[Array], size: tuple[int, int]) -> list[dict[str, Any]]:
            return self._objects(row, size, threshold)

        return pictures.shape(self._images.run(pictures, read))

    def _objects(
        self, row: Sequence[Array], size: tuple[int, int], threshold: float
    ) -> list[dict[str, Any]]:
        logits, boxes = (row[index].astype(np.float32, copy=False) for index in self._outputs)
        if logits.ndim != 2 or logits.shape[1] != self._classes or boxes.shape != (len(logits), 4):
            shapes = f"logits {list(logits.shape)} and boxes {list(boxes.shape)}"
            raise InternalError(f"the model gave {shapes} for {self._classes} classes")
        scores, labels, queries = self._read(logits, self._top_k)
        corners = _corners(boxes, size)
        return [
            {"score": float(score), "label": self._names[label], "box": _box(corners[query])}
            for score, label, query in zip(scores, labels, queries, strict=True)
            if score > threshold
        ]


def _outputs(runner: Runner) -> tuple[int, int]:
    names = [tensor.name for tensor in runner.outputs]
    if missing := [name for name in OUTPUTS if name not in names]:
        raise ValueError(f"the graph has no output {' and no '.join(missing)}: {', '.join(names)}")
    return names.index(OUTPUTS[0]), names.index(OUTPUTS[1])


def _corners(boxes: Array, size: tuple[int, int]) -> Array:
    """[queries, 4], centre, width and height as shares -> corners in pixels of (height, width)."""
    centre, half = boxes[:, :2], np.float32(0.5) * boxes[:, 2:]
    height, width = size
    scale = np.array([width, height, width, height], np.float32)
    corners: Array = np.concatenate([centre - half, centre + half], axis=1) * scale
    return corners


def _box(corners: Array) -> dict[str, int]:
    """Cut towards zero, as by the pipeline."""
    if not np.isfinite(corners).all():
        raise InternalError("the model gave a box that is not finite")
    return {name: int(value) for name, value in zip(CORNERS, corners, strict=True)}

"""When two final answers to one input count as the same, by task."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from onnxferry.scripts.metrics import definitions

LEAST_COSINE = 0.99
LEAST_IOU = 0.75  # of two boxes of one object: the middle of COCO's thresholds
SHOWN = 0.5  # objects above this score are what a pipeline answers by default
TIE = 1e-6  # of probabilities: nearer ones are ranked by the last bit of their logits


def _best(answer: Any) -> dict[str, Any]:
    """The first entry of a ranking, or the answer itself."""
    while isinstance(answer, list):
        answer = answer[0]
    return dict(answer)


def _without_scores(found: Iterable[Any]) -> list[dict[str, Any]]:
    return [{key: e[key] for key in e if key != "score"} for e in found]


def same_span(expected: Any, got: Any, labels: int) -> bool:
    """The same start and end of the best answer."""
    a, b = _best(expected), _best(got)
    return bool((a["start"], a["end"]) == (b["start"], b["end"]))


def same_label(expected: Any, got: Any, labels: int) -> bool:
    """The same best label; of one label (a regression), a score within 5 %."""
    a, b = _best(expected), _best(got)
    if labels == 1:
        return math.isclose(a["score"], b["score"], rel_tol=0.05, abs_tol=0.05)
    return bool(a["label"] == b["label"])


def same_direction(expected: Any, got: Any, labels: int) -> bool:
    """Vectors, or all token vectors in a row, whose cosine is at least LEAST_COSINE."""
    a, b = (np.asarray(vectors, np.float64).ravel() for vectors in (expected, got))
    return bool(a @ b >= LEAST_COSINE * np.linalg.norm(a) * np.linalg.norm(b))


def same_entities(expected: Any, got: Any, labels: int) -> bool:
    """The same entities, or labelled tokens, at the same places."""
    return _without_scores(expected) == _without_scores(got)


def same_choice(expected: Any, got: Any, labels: int) -> bool:
    """The same best candidate label; any of those that the model cannot tell apart."""
    scores = dict(zip(got["labels"], got["scores"], strict=True))
    return bool(scores[expected["labels"][0]] >= got["scores"][0] - TIE)


def same_tokens(expected: Any, got: Any, labels: int) -> bool:
    """The same best token for each mask, in the same text."""
    first, other = ([mask[0] for mask in masks(answer)] for answer in (expected, got))
    return _without_scores(first) == _without_scores(other)


def masks(answer: Any) -> list[Any]:
    """The ranking of each mask of a text; the answer for one mask is that ranking."""
    return [answer] if isinstance(answer[0], Mapping) else list(answer)


def same_best(expected: Any, got: Any, labels: int) -> bool:
    """The same best document; any of those that the model cannot tell apart."""
    scores = {entry["index"]: entry["score"] for entry in got}
    return bool(scores.get(expected[0]["index"], -np.inf) >= got[0]["score"] - TIE)


def same_scores(expected: Any, got: Any, labels: int) -> bool:
    """Each score within 5 %."""
    pairs = zip(expected, got, strict=True)
    return all(math.isclose(a, b, rel_tol=0.05, abs_tol=0.05) for a, b in pairs)


def same_objects(expected: Any, got: Any, labels: int) -> bool:
    """The objects that the pipeline shows by default, or the likeliest where there is none: each
    has one of its label and nearly its box in the other answer, both ways."""
    return _has_objects(expected, got) and _has_objects(got, expected)


def _has_objects(ours: Sequence[Any], theirs: Sequence[Any]) -> bool:
    best = max((o["score"] for o in ours), default=0.0)
    shown = [o for o in ours if o["score"] > SHOWN or o["score"] == best]
    return all(any(_same_object(a, b) for b in theirs) for a in shown)


def _same_object(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    near = math.isclose(a["score"], b["score"], abs_tol=0.1)
    return near and a["label"] == b["label"] and definitions.iou(a["box"], b["box"]) >= LEAST_IOU


def same_arrays(expected: Any, got: Any, labels: int) -> bool:
    """Outputs with the same direction, or that are the same where they hold no numbers."""
    return all(_same_array(expected[name], got[name]) for name in expected)


def _same_array(expected: Any, got: Any) -> bool:
    try:
        return same_direction(expected, got, 0)
    except (TypeError, ValueError):  # strings, maps, or another shape
        return bool(expected == got)


AGREE: dict[str, Callable[[Any, Any, int], bool]] = {
    "question-answering": same_span,
    "text-classification": same_label,
    "feature-extraction": same_direction,
    "image-classification": same_label,
    "token-classification": same_entities,
    "zero-shot-classification": same_choice,
    "fill-mask": same_tokens,
    "tensors": same_arrays,
    "text-ranking": same_best,
    "sentence-similarity": same_scores,
    "object-detection": same_objects,
    "image-feature-extraction": same_direction,
}
"""(expected, got, number of labels) -> whether they count as the same answer."""

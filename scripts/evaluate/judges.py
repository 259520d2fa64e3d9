"""How a task is judged: what is asked, what of an answer counts, and by which metric.

question-answering               exact match and F1; SQuAD v2.0's when a question has no answer
text-classification, multi-label macro-F1, micro-F1 and subset accuracy of the labels that reach the
threshold text-classification, one label   accuracy and macro-F1 token-classification
precision, recall and F1 of entities image-classification             accuracy of the best label
(top-1) feature-extraction               mean cosine to the source model's embedding
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.evaluate import metrics
from onnxferry.scripts.evaluate.datasets import Item


@dataclass(frozen=True)
class Judge:
    """`parameters` go with each request. `decision` is what of an answer must be the same for two
    answers to agree, `scores` its numbers by name, and `figures` the points of all decisions.
    `leading` are the figures by which one model is held against another; the others break these
    down."""

    parameters: Mapping[str, Any]
    decision: Callable[[Any], Any]
    scores: Callable[[Any], Mapping[str, float]]
    figures: Callable[[Sequence[Any], Sequence[Item]], dict[str, float]]
    leading: tuple[str, ...]


def question_answering(spec: ModelSpec, items: Sequence[Item], threshold: float) -> Judge:
    impossible = any(set(item.right) <= {""} for item in items)
    metric = metrics.squad2 if impossible else metrics.squad
    return Judge(
        {"handle_impossible_answer": True} if impossible else {},
        lambda answer: (answer["answer"], answer["start"], answer["end"]),
        lambda answer: {"score": answer["score"]},
        lambda decisions, of: metric(
            [text for text, _, _ in decisions], [item.right or ("",) for item in of]
        ),
        ("exact match", "F1"),
    )


def text_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> Judge:
    """Every label is asked for, so that each label's score can be compared."""
    if spec.settings.get("problem_type") == "multi_label_classification":
        return Judge(
            {"top_k": None},
            lambda answer: frozenset(row["label"] for row in answer if row["score"] >= threshold),
            _by_label,
            lambda decisions, of: metrics.labels(
                decisions, [set(item.right) for item in of], spec.labels
            ),
            ("macro-F1", "micro-F1"),
        )
    return Judge(
        {"top_k": None},
        lambda answer: answer[0]["label"],
        _by_label,
        lambda decisions, of: metrics.classes(
            decisions, [item.right[0] for item in of], spec.labels
        ),
        ("accuracy", "macro-F1"),
    )


def token_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> Judge:
    def spans(answer: Any) -> frozenset[Any]:
        return frozenset((row["entity_group"], row["start"], row["end"]) for row in answer)

    return Judge(
        {"aggregation_strategy": "simple"},
        spans,
        lambda answer: {f"{row['entity_group']} {row['start']}": row["score"] for row in answer},
        lambda decisions, of: metrics.entities(decisions, [set(item.right) for item in of]),
        ("F1",),
    )


def image_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> Judge:
    return Judge(
        {},
        lambda answer: answer[0]["label"],
        _by_label,
        lambda decisions, of: {
            "top-1": metrics.share([d in item.right for d, item in zip(decisions, of, strict=True)])
        },
        ("top-1",),
    )


def feature_extraction(spec: ModelSpec, items: Sequence[Item], threshold: float) -> Judge:
    """An item's right answer is the source model's embedding, given once that is known."""
    return Judge(
        {},
        lambda answer: np.asarray(answer, np.float32),
        lambda answer: {},
        lambda decisions, of: {"cosine": metrics.cosine(decisions, [item.right[0] for item in of])},
        ("cosine",),
    )


def _by_label(answer: Any) -> Mapping[str, float]:
    return {row["label"]: row["score"] for row in answer}


JUDGES: dict[str, Callable[[ModelSpec, Sequence[Item], float], Judge]] = {
    "question-answering": question_answering,
    "text-classification": text_classification,
    "token-classification": token_classification,
    "image-classification": image_classification,
    "feature-extraction": feature_extraction,
}

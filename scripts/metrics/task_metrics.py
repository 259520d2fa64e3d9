"""Each task's metric: what is asked, what of an answer counts, and how it is scored.

question-answering     exact match and F1; SQuAD v2.0's when a question has no answer
text-classification    accuracy and macro-F1; of several labels a text, macro-F1, micro-F1 and
                       subset accuracy of those that reach the threshold
token-classification   precision, recall and F1 of entities
image-classification   accuracy of the best label (top-1)
feature-extraction     mean cosine to the source model's embedding
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.datasets import Item
from onnxferry.scripts.metrics import definitions as metrics


@dataclass(frozen=True)
class TaskMetric:
    """`parameters` go with each request. Two answers agree when their `decision` is equal;
    `scores` are an answer's numbers by name, and `compute` gives the metrics of all decisions in
    points. Models are compared by the `primary` metrics; the others break these down."""

    parameters: Mapping[str, Any]
    decision: Callable[[Any], Any]
    scores: Callable[[Any], Mapping[str, float]]
    compute: Callable[[Sequence[Any], Sequence[Item]], dict[str, float]]
    primary: tuple[str, ...]


def is_multi_label(spec: ModelSpec) -> bool:
    """Whether several labels may hold for one text."""
    return bool(spec.settings.get("problem_type") == "multi_label_classification")


def question_answering(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Where an item has no answer, all are asked with `handle_impossible_answer`."""
    impossible = any(set(item.references) <= {""} for item in items)
    metric = metrics.squad2 if impossible else metrics.squad
    return TaskMetric(
        {"handle_impossible_answer": True} if impossible else {},
        lambda answer: (answer["answer"], answer["start"], answer["end"]),
        lambda answer: {"score": answer["score"]},
        lambda spans, of: metric([s[0] for s in spans], [item.references or ("",) for item in of]),
        ("exact match", "F1"),
    )


def text_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Every label is asked for, so that each label's score can be compared."""
    every = {"top_k": None}
    if is_multi_label(spec):
        return TaskMetric(
            every,
            lambda answer: frozenset(row["label"] for row in answer if row["score"] >= threshold),
            _by_label,
            lambda sets, of: metrics.labels(sets, [set(i.references) for i in of], spec.labels),
            ("macro-F1", "micro-F1"),
        )
    return TaskMetric(
        every,
        lambda answer: answer[0]["label"],
        _by_label,
        lambda best, of: metrics.classes(best, [i.references[0] for i in of], spec.labels),
        ("accuracy", "macro-F1"),
    )


def token_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Tokens are asked for as entities."""

    def spans(answer: Any) -> frozenset[Any]:
        return frozenset((row["entity_group"], row["start"], row["end"]) for row in answer)

    return TaskMetric(
        {"aggregation_strategy": "simple"},
        spans,
        lambda answer: {f"{row['entity_group']} {row['start']}": row["score"] for row in answer},
        lambda decisions, of: metrics.entities(decisions, [set(item.references) for item in of]),
        ("F1",),
    )


def image_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """The best label counts."""

    def top_1(decisions: Sequence[Any], of: Sequence[Item]) -> dict[str, float]:
        hits = [label in item.references for label, item in zip(decisions, of, strict=True)]
        return {"top-1": 100 * sum(hits) / len(hits)}

    return TaskMetric({}, lambda answer: answer[0]["label"], _by_label, top_1, ("top-1",))


def feature_extraction(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """An item's reference is the source model's embedding, given once that is known."""

    def cosine(decisions: Sequence[Any], of: Sequence[Item]) -> dict[str, float]:
        return {"cosine": metrics.cosine(decisions, [item.references[0] for item in of])}

    return TaskMetric(
        {}, lambda answer: np.asarray(answer, np.float32), lambda answer: {}, cosine, ("cosine",)
    )


def _by_label(answer: Any) -> Mapping[str, float]:
    return {row["label"]: row["score"] for row in answer}


TASK_METRICS: Mapping[str, Callable[[ModelSpec, Sequence[Item], float], TaskMetric]] = {
    "question-answering": question_answering,
    "text-classification": text_classification,
    "token-classification": token_classification,
    "image-classification": image_classification,
    "feature-extraction": feature_extraction,
}

"""Each task's metric: what is asked, what of an answer counts, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.datasets import Item
from onnxferry.scripts.metrics import definitions


@dataclass(frozen=True)
class TaskMetric:
    """`parameters` go with each request. Answers agree when their `decision` is equal; `scores` are
    an answer's numbers by name; `compute` gives the metrics of all decisions in points. Models are
    compared by the `primary` ones."""

    parameters: Mapping[str, Any]
    decision: Callable[[Any], Any]
    scores: Callable[[Any], Mapping[str, float]]
    compute: Callable[[Sequence[Any], Sequence[Item]], dict[str, float]]
    primary: tuple[str, ...]


def is_multi_label(spec: ModelSpec) -> bool:
    """Whether several labels may hold for one text."""
    return bool(spec.settings.get("problem_type") == "multi_label_classification")


def is_regression(spec: ModelSpec) -> bool:
    """Whether a text gets a number, not a label."""
    return bool(spec.settings.get("problem_type") == "regression" and len(spec.labels) == 1)


def question_answering(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Exact match and F1: SQuAD v1.1's, or v2.0's where an item has no answer."""
    impossible = any(set(item.references) <= {""} for item in items)
    metric = definitions.squad2 if impossible else definitions.squad
    return TaskMetric(
        {"handle_impossible_answer": True} if impossible else {},
        lambda answer: (answer["answer"], answer["start"], answer["end"]),
        lambda answer: {"score": answer["score"]},
        lambda spans, of: metric([s[0] for s in spans], [i.references or ("",) for i in of]),
        ("exact match", "F1"),
    )


def text_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Accuracy and macro-F1; of several labels a text macro-F1, micro-F1 and subset accuracy of
    those that reach the threshold."""

    def labels(decisions: Sequence[Any], of: Sequence[Item]) -> dict[str, float]:
        return definitions.labels(decisions, [set(i.references) for i in of], spec.labels)

    def classes(decisions: Sequence[Any], of: Sequence[Item]) -> dict[str, float]:
        return definitions.classes(decisions, [i.references[0] for i in of], spec.labels)

    def given(answer: Any) -> frozenset[str]:
        return frozenset(row["label"] for row in answer if row["score"] >= threshold)

    every = {"top_k": None}
    if is_regression(spec):
        zero = {spec.labels[0]: 0.0}  # a set's "0" is read as the index of the one label
        return _correlated(every, lambda answer: answer[0]["score"], zero)
    if is_multi_label(spec):
        return TaskMetric(every, given, _by_label, labels, ("macro-F1", "micro-F1"))
    return TaskMetric(every, _best_label, _by_label, classes, ("accuracy", "macro-F1"))


def token_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Precision, recall and F1 of entities."""
    return TaskMetric(
        {"aggregation_strategy": "simple"},
        lambda answer: frozenset((row["entity_group"], row["start"], row["end"]) for row in answer),
        lambda answer: {f"{row['entity_group']} {row['start']}": row["score"] for row in answer},
        lambda found, of: definitions.entities(found, [set(i.references) for i in of]),
        ("F1",),
    )


def image_classification(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Accuracy of the best label (top-1)."""

    def top_1(decisions: Sequence[Any], of: Sequence[Item]) -> dict[str, float]:
        hits = [label in item.references for label, item in zip(decisions, of, strict=True)]
        return {"top-1": 100 * sum(hits) / len(hits)}

    return TaskMetric({}, _best_label, _by_label, top_1, ("top-1",))


def feature_extraction(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Mean cosine to the source model's embedding: an item's reference, given once it is known."""
    vector = partial(np.asarray, dtype=np.float32)

    def cosine(decisions: Sequence[Any], of: Sequence[Item]) -> dict[str, float]:
        return {"cosine": definitions.cosine(decisions, [item.references[0] for item in of])}

    return TaskMetric({}, vector, lambda answer: {}, cosine, ("cosine",))


def text_ranking(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Mean reciprocal rank and gain of the first ten documents; an item's references are the places
    of the right ones in its request."""
    return TaskMetric(
        {},
        lambda answer: tuple(entry["index"] for entry in answer),
        lambda answer: {str(entry["index"]): entry["score"] for entry in answer},
        lambda orders, of: definitions.ranking(orders, [set(i.references) for i in of]),
        ("MRR@10", "NDCG@10"),
    )


def sentence_similarity(spec: ModelSpec, items: Sequence[Item], threshold: float) -> TaskMetric:
    """Correlation of the scores of two sentences with the right ones."""
    return _correlated({}, lambda answer: answer[0])


def _correlated(
    parameters: Mapping[str, Any], score: Callable[[Any], float], numbers: Mapping[Any, float] = {}
) -> TaskMetric:
    """`numbers`: what references that are no numbers stand for."""

    def compute(given: Sequence[Any], of: Sequence[Item]) -> dict[str, float]:
        right = [float(numbers.get(r, r)) for r in (item.references[0] for item in of)]
        return definitions.correlations(given, right)

    names = ("Pearson", "Spearman")
    return TaskMetric(parameters, score, lambda answer: {"score": score(answer)}, compute, names)


def _best_label(answer: Any) -> str:
    return str(answer[0]["label"])


def _by_label(answer: Any) -> Mapping[str, float]:
    return {row["label"]: row["score"] for row in answer}


TASK_METRICS: Mapping[str, Callable[[ModelSpec, Sequence[Item], float], TaskMetric]] = {
    "question-answering": question_answering,
    "text-classification": text_classification,
    "token-classification": token_classification,
    "image-classification": image_classification,
    "feature-extraction": feature_extraction,
    "image-feature-extraction": feature_extraction,
    "text-ranking": text_ranking,
    "sentence-similarity": sentence_similarity,
}

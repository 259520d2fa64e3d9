"""The user's evaluation set (--data), asked of every variant through the core that will serve."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry import scoring
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import datasets, local_scorer
from onnxferry.scripts.metrics.agreement import same_direction
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS, TaskMetric
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.verification import formatting
from onnxferry.system.console import Progress

LIMIT = 500  # items, where --limit says nothing
# where an item is one text, which is soon answered
LIMITS = {"text-classification": 1000, "token-classification": 1000}
PARTS = 4  # in which the set is asked: one part may end it (give_up_drop)
LEAST = 50  # items of a part: fewer tell too little to give up
CALIBRATION = 128  # other items of the set, to calibrate with
TIMED = 32  # items to measure latency with


@dataclass(frozen=True)
class EvalAnswers:
    """What a model decided for the first items, and its metrics in points."""

    decisions: tuple[Any, ...]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class EvalSet:
    """`items`, of which every prefix is spread over the whole set; `spare` are others."""

    items: tuple[datasets.Item, ...]
    spare: tuple[datasets.Item, ...]
    metric: TaskMetric
    record: Mapping[str, Any]

    def ask(
        self,
        folder: Path,
        progress: Progress,
        reference: EvalAnswers | None = None,
        give_up_drop: float = math.inf,
    ) -> EvalAnswers:
        """The answers of the model directory `folder`; only to the first items where a metric drops
        from `reference` by more than the share `give_up_drop`. Raises EvaluationError."""
        scorer = scoring.load(folder)
        size = max(LEAST, -(-len(self.items) // PARTS))
        given: list[Any] = []
        for start in range(0, len(self.items), size):
            part = [item.inputs for item in self.items[start : start + size]]
            answers = local_scorer.answers(scorer, part, self.metric.parameters)
            given += map(self.metric.decision, answers)
            progress(f"{len(given)} of {len(self.items)} items")
            known = reference.decisions if reference else given
            found = EvalAnswers(tuple(given), self._metrics(given, known))
            if reference and self.drop(found, reference) > give_up_drop:
                break
        return found

    def primary(self, reference: EvalAnswers, count: int) -> dict[str, float]:
        """The reference's primary metrics on the first `count` items."""
        metrics = self._metrics(reference.decisions[:count], reference.decisions)
        return {name: metrics[name] for name in self.metric.primary}

    def drop(self, found: EvalAnswers, reference: EvalAnswers) -> float:
        """The largest drop of a primary metric, as a share of the reference's on these items."""
        return worst_drop(found.metrics, self.primary(reference, len(found.decisions)))[1]

    def changed(self, found: EvalAnswers, reference: EvalAnswers) -> list[formatting.ChangedAnswer]:
        """The answers that changed, those first that were right."""
        numbers = range(len(found.decisions))
        rows = zip(numbers, reference.decisions, found.decisions, strict=False)
        changes = [(i, a, b) for i, a, b in rows if not _same(a, b)]
        changes.sort(key=lambda row: self._points(*row) - self._points(row[0], row[1], row[1]))
        return [self._change(*row) for row in changes]

    def _points(self, i: int, reference: Any, decision: Any) -> float:
        metrics = self.metric.compute([decision], [_referenced(self.items[i], reference)])
        return sum(metrics[name] for name in self.metric.primary)

    def _change(self, i: int, expected: Any, got: Any) -> formatting.ChangedAnswer:
        item, texts = self.items[i], [*map(formatting.format_answer, (expected, got))]
        if texts[0] == texts[1]:  # vectors
            cosine = self._points(i, expected, got) / 100
            texts = ["a vector", f"one with cosine {cosine:.3f} to it"]
        asked = item.where or formatting.format_inputs(item.inputs)
        return formatting.ChangedAnswer(f"item {i + 1}", asked, *texts)

    def _metrics(self, decisions: Sequence[Any], reference: Sequence[Any]) -> dict[str, float]:
        pairs = zip(self.items, reference, strict=False)
        items = [_referenced(item, known) for item, known in pairs]
        return self.metric.compute(decisions, items[: len(decisions)])


def _referenced(item: datasets.Item, reference: Any) -> datasets.Item:
    """`item`, with the reference's decision where it has no right answer."""
    return item if item.references else replace(item, references=(reference,))


def worst_drop(found: Mapping[str, float], reference: Mapping[str, float]) -> tuple[str, float]:
    """The metric that lost most, and the share of the reference's; below 0 for a gain."""
    drops = {name: (v - found[name]) / v if v else 0.0 for name, v in reference.items()}
    return max(drops.items(), key=lambda entry: entry[1])


def read(options: Options, spec: ModelSpec) -> EvalSet | None:
    """The set that --data names; None without. Raises UsageError that names what is wrong."""
    if options.data is None:
        return None
    found = datasets.read(options.data, spec.task, spec.labels)
    chosen = datasets.evenly(found, options.limit or LIMITS.get(spec.task, LIMIT))
    items = tuple(chosen[i] for start in range(PARTS) for i in range(start, len(chosen), PARTS))
    taken = {id(item) for item in chosen}
    spare = datasets.evenly([item for item in found if id(item) not in taken], CALIBRATION)
    name, digest = datasets.title(options.data), datasets.digest(options.data)
    record = {"name": name, "sha256": digest, "items": len(items), "of": len(found)}
    if spec.settings.get("problem_type") == "multi_label_classification":
        record["threshold"] = options.threshold
    metric = TASK_METRICS[spec.task](spec, found, options.threshold)
    return EvalSet(items, tuple(spare), metric, record)


def as_samples(items: Sequence[datasets.Item], metric: TaskMetric) -> list[Sample]:
    """One request an item."""
    bodies = [{"inputs": item.inputs, "parameters": dict(metric.parameters)} for item in items]
    return [
        Sample(scoring.Request(json.dumps(b).encode()), f"item {i}") for i, b in enumerate(bodies)
    ]


def _same(a: Any, b: Any) -> bool:
    return same_direction(a, b, 0) if isinstance(a, np.ndarray) else bool(a == b)

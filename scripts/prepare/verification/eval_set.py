"""An evaluation set (--data) as the gate asks it: the same items of every variant, through the core
that will serve."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import Request
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import datasets, local_scorer
from onnxferry.scripts.datasets import Item
from onnxferry.scripts.metrics.agreement import same_direction
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS, TaskMetric
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.report.formatting import Change, answer, inputs
from onnxferry.scripts.prepare.selection.criteria import Gate, worst_loss
from onnxferry.scripts.prepare.verification.samples import Sample
from onnxferry.system.console import Progress

LIMIT = 500  # items, where --limit says nothing
# one text an item, which is soon answered
LIMITS = {"text-classification": 1000, "token-classification": 1000}
PARTS = 4  # the set is asked in so many parts; what is hopeless after one is not asked the next
LEAST = 50  # items of a part: fewer tell too little to give up
# times --max-loss, and at least as much as LOST: the figures of a part of the items scatter
HOPELESS = 10.0
LOST = 0.25
SPARE = 128  # items beside the asked ones, to calibrate with
DRAWN = 32  # items to measure speed with


@dataclass(frozen=True)
class Answers:
    """What a model decided for the first items, in their order, and its figures in points by
    metric."""

    decisions: tuple[Any, ...]
    figures: Mapping[str, float]


@dataclass(frozen=True)
class Questions:
    """`items` in an order in which every prefix is spread over the whole set; `spare` are others of
    the same set. `record` tells which set it is."""

    items: tuple[Item, ...]
    spare: tuple[Item, ...]
    judge: TaskMetric
    record: Mapping[str, Any]

    def ask(
        self,
        folder: Path,
        progress: Progress,
        source: Answers | None = None,
        gate: Gate = Gate(),  # noqa: B008
    ) -> Answers:
        """Ask the model directory `folder`; only a part of the items when it is hopeless against
        `source`."""
        scorer = local_scorer.load(folder)
        size = max(LEAST, -(-len(self.items) // PARTS))
        given: list[Any] = []
        for start in range(0, len(self.items), size):
            part = [item.inputs for item in self.items[start : start + size]]
            answers = local_scorer.answers(scorer, part, self.judge.parameters)
            given += map(self.judge.decision, answers)
            progress(f"{len(given)} of {len(self.items)} items")
            found = Answers(
                tuple(given), self._figures(given, source.decisions if source else given)
            )
            if source and self.loss(found, source)[1] > max(HOPELESS * gate.max_loss, LOST):
                break
        return found

    def source(self, answers: Answers, count: int) -> dict[str, float]:
        """The source model's leading figures on the first `count` items."""
        figures = self._figures(answers.decisions[:count], answers.decisions)
        return {name: figures[name] for name in self.judge.primary}

    def loss(self, found: Answers, source: Answers) -> tuple[str, float]:
        """The leading figure that lost most, and how much: a share of the source model's on the
        same items."""
        return worst_loss(found.figures, self.source(source, len(found.decisions)))

    def changed(self, found: Answers, source: Answers) -> list[Change]:
        """The answers that changed, those first that were right and no longer are."""
        pairs = [
            (i, a, b)
            for i, (a, b) in enumerate(zip(source.decisions, found.decisions, strict=False))
            if not _same(a, b)
        ]
        pairs.sort(
            key=lambda pair: (
                self._gain(pair[0], pair[2], pair[1]) - self._gain(pair[0], pair[1], pair[1])
            )
        )
        return [self._change(*pair) for pair in pairs]

    def _gain(self, i: int, decision: Any, source: Any) -> float:
        item = self.items[i]
        figures = self.judge.compute(
            [decision], [item if item.references else replace(item, references=(source,))]
        )
        return sum(figures[name] for name in self.judge.primary)

    def _change(self, i: int, expected: Any, got: Any) -> Change:
        item = self.items[i]
        texts = [answer(expected), answer(got)]
        if texts[0] == texts[1]:  # vectors
            texts = ["a vector", f"one with cosine {self._gain(i, got, expected) / 100:.3f} to it"]
        return Change(f"item {i + 1}", item.where or inputs(item.inputs), *texts)

    def _figures(self, decisions: Sequence[Any], source: Sequence[Any]) -> dict[str, float]:
        items = [
            item if item.references else replace(item, references=(source[i],))
            for i, item in enumerate(self.items[: len(decisions)])
        ]
        return self.judge.compute(decisions, items)


def read(options: Options, spec: ModelSpec) -> Questions | None:
    """The set that --data names; None without. Raises UsageError that names what is wrong with
    it."""
    if options.data is None:
        return None
    found = datasets.read(options.data, spec.task, spec.labels)
    chosen = datasets.evenly(found, options.limit or LIMITS.get(spec.task, LIMIT))
    items = tuple(chosen[i] for start in range(PARTS) for i in range(start, len(chosen), PARTS))
    asked = {id(item) for item in chosen}
    spare = datasets.evenly([item for item in found if id(item) not in asked], SPARE)
    record = {
        "name": datasets.title(options.data),
        "sha256": datasets.digest(options.data),
        "items": len(items),
        "of": len(found),
    }
    if spec.settings.get("problem_type") == "multi_label_classification":
        record["threshold"] = options.threshold
    metric = TASK_METRICS[spec.task](spec, found, options.threshold)
    return Questions(items, tuple(spare), metric, record)


def as_samples(items: Sequence[Item], judge: TaskMetric) -> list[Sample]:
    """One request an item."""
    bodies = [{"inputs": item.inputs, "parameters": dict(judge.parameters)} for item in items]
    return [
        Sample(Request(json.dumps(body).encode()), f"item {i}") for i, body in enumerate(bodies)
    ]


def _same(a: Any, b: Any) -> bool:
    return same_direction(a, b, 0) if isinstance(a, np.ndarray) else bool(a == b)

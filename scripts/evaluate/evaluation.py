"""Asks every item of the served core, and of transformers' pipeline where there is a source."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import datasets, local_scorer
from onnxferry.scripts.datasets import Item
from onnxferry.scripts.evaluate.reference_pipeline import CLASSES, ReferencePipeline
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS, TaskMetric, is_multi_label
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

SHOWN = 20  # of the answers that differ


@dataclass(frozen=True)
class EvaluationOptions:
    """`threshold` is the least score of a label that is given, for models with several labels a
    text. `limit` takes that many items, evenly over the set."""

    model: Path
    data: Path
    source: Path | None = None
    adapter: Path | None = None
    threshold: float = 0.5
    limit: int | None = None


@dataclass(frozen=True)
class MetricValue:
    """One metric in points; `reference` is the pipeline's."""

    core: float
    reference: float | None = None

    @property
    def difference(self) -> float | None:
        """Points that the core has more than the pipeline."""
        return None if self.reference is None else self.core - self.reference


@dataclass(frozen=True)
class Agreement:
    """How many items got the same answer from both, the largest difference of a score in those
    (`largest`) and in the others (`apart`), and some of the others as {"item", "core",
    "transformers"}."""

    same: int
    largest: float
    apart: float = 0.0
    differing: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """What was measured: `items` of the set `data` with the hash `sha256`, and the metrics by
    name. `threshold` is None where the task has none."""

    model: str
    task: str
    precision: str
    data: str
    sha256: str
    items: int
    figures: Mapping[str, MetricValue]
    threshold: float | None = None
    agreement: Agreement | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def evaluate(options: EvaluationOptions) -> Evaluation:
    """Ask the model directory, and the source model where there is one.

    Raises UsageError for what was asked, EvaluationError when either cannot answer.
    """
    if options.adapter and not options.source:
        raise UsageError("--adapter needs --source, the folder of the model that it is merged into")
    scorer = local_scorer.load(options.model)
    spec = scorer.spec
    items = datasets.evenly(datasets.read(options.data, spec.task, spec.labels), options.limit)
    if not items[0].references:
        raise UsageError(
            f"{spec.task}: only a source model has the right answers; {program('prepare')} compares"
        )
    metric = TASK_METRICS[spec.task](spec, items, options.threshold)
    inputs = [item.inputs for item in items]
    with stage(f"{len(items)} items through the served core"):
        ours = local_scorer.answers(scorer, inputs, metric.parameters)
    theirs = _reference(options, spec, inputs, metric.parameters)
    return Evaluation(
        model=spec.name,
        task=spec.task,
        precision=spec.precision,
        data=datasets.title(options.data),
        sha256=datasets.digest(options.data),
        items=len(items),
        figures=_figures(metric, items, ours, theirs),
        threshold=options.threshold if is_multi_label(spec) else None,
        agreement=None if theirs is None else agreement(metric, ours, theirs),
        versions=_versions("onnxruntime", *(() if theirs is None else ("transformers", "torch"))),
    )


def _versions(*names: str) -> dict[str, str]:
    return {name: importlib.metadata.version(name) for name in names}


def _reference(
    options: EvaluationOptions,
    spec: ModelSpec,
    inputs: Sequence[Any],
    parameters: Mapping[str, Any],
) -> list[Any] | None:
    if not options.source:
        return None
    if spec.task not in CLASSES:
        raise UsageError(
            f"--source: {spec.task} is not compared with transformers' pipeline; leave it out"
        )
    with stage("load the source model"):
        pipeline = ReferencePipeline(options.source, options.adapter, spec)
    with stage(f"{len(inputs)} items through transformers' pipeline"):
        return pipeline.answers(inputs, parameters)


def _figures(
    metric: TaskMetric, items: Sequence[Item], ours: Sequence[Any], theirs: Sequence[Any] | None
) -> dict[str, MetricValue]:
    core, reference = (
        {} if some is None else metric.compute([metric.decision(answer) for answer in some], items)
        for some in (ours, theirs)
    )
    return {name: MetricValue(value, reference.get(name)) for name, value in core.items()}


def agreement(metric: TaskMetric, ours: Sequence[Any], theirs: Sequence[Any]) -> Agreement:
    """How far two models' answers to the same items agree."""
    distances: dict[bool, list[float]] = {True: [0.0], False: [0.0]}
    differing = []
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        same = metric.decision(a) == metric.decision(b)
        distances[same].append(_distance(metric, a, b))
        if not same:
            differing.append({"item": i, "core": a, "transformers": b})
    largest, apart = max(distances[True]), max(distances[False])
    return Agreement(len(distances[True]) - 1, largest, apart, tuple(differing[:SHOWN]))


def _distance(metric: TaskMetric, ours: Any, theirs: Any) -> float:
    """The largest difference of a score that both answers have."""
    mine, other = metric.scores(ours), metric.scores(theirs)
    return max((abs(mine[name] - other[name]) for name in mine if name in other), default=0.0)

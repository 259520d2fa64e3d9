"""An evaluation: every item asked of the core, and of transformers' pipeline where the source model
is at hand."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import datasets, local_scorer
from onnxferry.scripts.evaluate import source
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS, TaskMetric
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError

SHOWN = 20  # of the answers that differ


@dataclass(frozen=True)
class Options:
    """`threshold` is the least score of a label that is given, for models with several labels a
    text. `limit` takes that many items, evenly over the set."""

    model: Path
    data: Path
    source: Path | None = None
    adapter: Path | None = None
    threshold: float = 0.5
    limit: int | None = None


@dataclass(frozen=True)
class Figure:
    """One metric in points; `reference` is the pipeline's."""

    core: float
    reference: float | None = None

    @property
    def difference(self) -> float | None:
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
    model: str
    task: str
    precision: str
    data: str
    sha256: str
    items: int
    figures: Mapping[str, Figure]
    threshold: float | None = None  # where the task has one
    agreement: Agreement | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


def evaluate(options: Options) -> Evaluation:
    """Raises UsageError for what was asked, EvaluationError when either side cannot answer."""
    if options.adapter and not options.source:
        raise UsageError("--adapter needs --source, the folder of the model that it is merged into")
    scorer = local_scorer.load(options.model)
    spec = scorer.spec
    items = datasets.evenly(datasets.read(options.data, spec.task, spec.labels), options.limit)
    if not items[0].references:
        raise UsageError(
            f"{spec.task}: only a source model has the right answers; python -m scripts.prepare"
            " compares"
        )
    metric = TASK_METRICS[spec.task](spec, items, options.threshold)
    inputs = [item.inputs for item in items]
    with stage(f"{len(items)} items through the served core"):
        ours = local_scorer.answers(scorer, inputs, metric.parameters)
    theirs = _reference(options, spec, inputs, metric.parameters)
    return Evaluation(
        spec.name,
        spec.task,
        spec.precision,
        datasets.title(options.data),
        datasets.digest(options.data),
        len(items),
        _figures(metric, items, ours, theirs),
        (
            options.threshold
            if spec.settings.get("problem_type") == "multi_label_classification"
            else None
        ),
        None if theirs is None else agreement(metric, ours, theirs),
        {"onnxruntime": importlib.metadata.version("onnxruntime")}
        | ({} if theirs is None else source.versions()),
    )


def _reference(
    options: Options, spec: ModelSpec, inputs: Sequence[Any], parameters: Mapping[str, Any]
) -> list[Any] | None:
    if not options.source:
        return None
    if spec.task not in source.CLASSES:
        raise UsageError(
            f"--source: {spec.task} is not compared with transformers' pipeline; leave it out"
        )
    with stage("load the source model"):
        pipeline = source.Pipeline(options.source, options.adapter, spec)
    with stage(f"{len(inputs)} items through transformers' pipeline"):
        return pipeline.answers(inputs, parameters)


def _figures(
    metric: TaskMetric,
    items: Sequence[datasets.Item],
    ours: Sequence[Any],
    theirs: Sequence[Any] | None,
) -> dict[str, Figure]:
    core = metric.compute([metric.decision(answer) for answer in ours], items)
    if theirs is None:
        return {name: Figure(value) for name, value in core.items()}
    reference = metric.compute([metric.decision(answer) for answer in theirs], items)
    return {name: Figure(value, reference[name]) for name, value in core.items()}


def agreement(metric: TaskMetric, ours: Sequence[Any], theirs: Sequence[Any]) -> Agreement:
    pairs = list(zip(ours, theirs, strict=True))
    same = [metric.decision(a) == metric.decision(b) for a, b in pairs]
    differing = [
        {"item": i, "core": a, "transformers": b} for i, (a, b) in enumerate(pairs) if not same[i]
    ]
    largest, apart = (
        max(
            (_distance(metric, a, b) for i, (a, b) in enumerate(pairs) if same[i] == wanted),
            default=0.0,
        )
        for wanted in (True, False)
    )
    return Agreement(sum(same), largest, apart, tuple(differing[:SHOWN]))


def _distance(metric: TaskMetric, ours: Any, theirs: Any) -> float:
    """The largest difference of a score that both answers have."""
    mine, other = metric.scores(ours), metric.scores(theirs)
    return max((abs(mine[name] - other[name]) for name in mine if name in other), default=0.0)

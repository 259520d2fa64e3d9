"""Asks the served core every item, and transformers' pipeline where there is a source model."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.scoring import cpu
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts import datasets, local_scorer
from onnxferry.scripts.evaluate.reference_pipeline import CLASSES, ReferencePipeline
from onnxferry.scripts.metrics.task_metrics import TASK_METRICS, TaskMetric, is_multi_label
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

SHOWN = 20  # of the answers that differ


@dataclass(frozen=True)
class EvaluationOptions:
    """The flags of evaluate, which --help explains."""

    model: Path
    data: Path
    source: Path | None = None
    adapter: Path | None = None
    threshold: float = 0.5
    limit: int | None = None


@dataclass(frozen=True)
class MetricValue:
    """One metric in points: the core's, transformers' pipeline's, and the core's less that."""

    core: float
    transformers: float | None = None
    difference: float | None = None


@dataclass(frozen=True)
class Agreement:
    """How many items got the same answer from both; the largest difference of a score in those and,
    `apart`, in the others; some of the others: {"item", "core", "transformers"}."""

    same: int
    largest: float
    apart: float = 0.0
    differing: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Evaluation:
    """The metrics by name, over `items` items of the set `data` whose hash is `sha256`. `precision`
    says what kind of CPU int8 is made for, `cpu` the kind of this machine's ("" if not known)."""

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
    cpu: str = ""


def evaluate(options: EvaluationOptions) -> Evaluation:
    """Ask both models, and score. Raises UsageError, EvaluationError when one cannot answer."""
    if options.adapter and not options.source:
        raise UsageError("--adapter needs --source, the folder of the model that it is merged into")
    scorer = local_scorer.load(options.model)
    spec = scorer.spec
    items = datasets.evenly(datasets.read(options.data, spec.task, spec.labels), options.limit)
    if not items[0].references:
        why = "only a source model has the right answers"
        raise UsageError(f"{spec.task}: {why}; {program('prepare')} compares")
    metric = TASK_METRICS[spec.task](spec, items, options.threshold)
    inputs = [item.inputs for item in items]
    with stage(f"{len(items)} items through the served core"):
        ours = local_scorer.answers(scorer, inputs, metric.parameters)
    theirs = _reference(options, spec, inputs, metric)

    def score(answers: Sequence[Any]) -> dict[str, float]:
        return metric.compute([metric.decision(answer) for answer in answers], items)

    names = ("onnxruntime",) if theirs is None else ("onnxruntime", "transformers", "torch")
    return Evaluation(
        model=spec.name,
        task=spec.task,
        precision=_precision(spec),
        data=datasets.title(options.data),
        sha256=datasets.digest(options.data),
        items=len(items),
        figures=_figures(score(ours), score(theirs) if theirs else None),
        threshold=options.threshold if is_multi_label(spec) else None,
        agreement=None if theirs is None else agreement(metric, ours, theirs),
        versions={name: importlib.metadata.version(name) for name in names},
        cpu=cpu.kind() or "",
    )


def _precision(spec: ModelSpec) -> str:
    kind = f"{spec.cpu} CPUs" if spec.cpu else "any CPU"
    return f"int8 for {kind}" if spec.precision == "int8" else spec.precision


def _reference(
    options: EvaluationOptions, spec: ModelSpec, inputs: Sequence[Any], metric: TaskMetric
) -> list[Any] | None:
    if not options.source:
        return None
    if spec.task not in CLASSES:
        what = f"{spec.task} is not compared with transformers' pipeline"
        raise UsageError(f"--source: {what}; leave it out")
    with stage("load the source model"):
        pipeline = ReferencePipeline(options.source, options.adapter, spec)
    with stage(f"{len(inputs)} items through transformers' pipeline"):
        return pipeline.answers(inputs, metric.parameters)


def _figures(
    core: Mapping[str, float], other: Mapping[str, float] | None
) -> dict[str, MetricValue]:
    if other is None:
        return {name: MetricValue(value) for name, value in core.items()}
    return {name: MetricValue(core[name], other[name], core[name] - other[name]) for name in core}


def agreement(metric: TaskMetric, ours: Sequence[Any], theirs: Sequence[Any]) -> Agreement:
    """How far two models' answers to the same items agree."""
    distances: dict[bool, list[float]] = {True: [0.0], False: [0.0]}
    differing = []
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        same = metric.decision(a) == metric.decision(b)
        mine, other = metric.scores(a), metric.scores(b)
        distances[same] += [abs(mine[name] - other[name]) for name in mine if name in other]
        if not same:
            differing.append({"item": i, "core": a, "transformers": b})
    largest, apart = max(distances[True]), max(distances[False])
    return Agreement(len(ours) - len(differing), largest, apart, tuple(differing[:SHOWN]))

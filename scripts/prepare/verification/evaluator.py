"""What a model directory scores: its difference from the reference, and the task's metric."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.verification import comparison
from onnxferry.scripts.prepare.verification.comparison import DifferenceBounds
from onnxferry.scripts.prepare.verification.eval_set import EvalAnswers, EvalSet
from onnxferry.scripts.prepare.verification.formatting import ChangedAnswer
from onnxferry.scripts.prepare.verification.graph_run import GraphRun
from onnxferry.scripts.prepare.verification.reference import ReferenceModel
from onnxferry.system.console import Progress

EXAMPLES = 5  # of changed answers


@dataclass(frozen=True)
class EvaluationResult:
    """`difference`: the figures of comparison. `drop`: the largest share that a primary metric
    lost, else the share of changed answers. `metrics`: points on the `asked` items of the
    evaluation set; `reference`: the source's primary ones."""

    difference: Mapping[str, Any]
    drop: float
    metrics: Mapping[str, float] = field(default_factory=dict)
    reference: Mapping[str, float] = field(default_factory=dict)
    asked: int = 0
    changes: tuple[ChangedAnswer, ...] = ()


@dataclass(frozen=True)
class GiveUp:
    """When the rest is not asked: after more than so many `changed` answers to the samples, or a
    larger share of `drop` on a part of the evaluation set."""

    changed: float = math.inf
    drop: float = math.inf


NEVER = GiveUp()


@dataclass(frozen=True)
class Evaluator:
    """Asks every variant the same: `samples`, and `eval_set` where there is one. `exported` is the
    exported graph's result, `answers` its answers to that set. `graphs`: what was asked, by the
    model directory. `seconds`: what an evaluation of the exported graph takes."""

    reference: ReferenceModel
    samples: Sequence[Sample]
    eval_set: EvalSet | None = None
    answers: EvalAnswers | None = None
    exported: EvaluationResult | None = None
    graphs: dict[Path, GraphRun] = field(default_factory=dict)
    seconds: float = 0.0

    @property
    def seconds_each(self) -> float:
        """What the exported graph takes for one sample."""
        return self.reference.graph.seconds / max(len(self.samples), 1)

    def graph(self, folder: Path) -> GraphRun:
        """The graph of a model directory, with what it has answered already."""
        return self.graphs.setdefault(folder, GraphRun(folder))

    def verified(self, folder: Path, bounds: DifferenceBounds, progress: Progress) -> Evaluator:
        """With the result and answers of the exported graph. Raises PrepareError when it
        differs."""
        compared = comparison.compare(self.reference, self.graph(folder), self.samples)
        comparison.require_same(compared, bounds)
        result = EvaluationResult(comparison.figures(compared), 0.0)
        seconds = self.graph(folder).seconds
        if self.eval_set is None:
            return replace(self, exported=result, seconds=seconds)
        began = time.perf_counter()
        answers = self.eval_set.ask(folder, progress)
        seconds += time.perf_counter() - began
        result = replace(result, metrics=answers.metrics, asked=len(answers.decisions))
        return replace(self, exported=result, answers=answers, seconds=seconds)

    def evaluate(
        self, folder: Path, progress: Progress, give_up: GiveUp = NEVER
    ) -> EvaluationResult:
        """The result of the model directory `folder`, of a part of what is asked where that tells
        enough to give up."""
        graph = self.graph(folder)
        compared = comparison.compare(self.reference, graph, self.samples, give_up.changed)
        found, changes = comparison.figures(compared), comparison.changed(compared)
        if self.eval_set is None or self.answers is None or len(compared) < len(self.samples):
            return EvaluationResult(found, 1 - found["agreement"], changes=_examples(changes))
        answers = self.eval_set.ask(folder, progress, self.answers, give_up.drop)
        asked, drop = len(answers.decisions), self.eval_set.drop(answers, self.answers)
        primary = self.eval_set.primary(self.answers, asked)
        examples = _examples([*self.eval_set.changed(answers, self.answers), *changes])
        return EvaluationResult(found, drop, answers.metrics, primary, asked, examples)


def _examples(changes: Sequence[ChangedAnswer]) -> tuple[ChangedAnswer, ...]:
    """Each input once."""
    first: dict[str, ChangedAnswer] = {}
    for change in changes:
        first.setdefault(change.input or change.where, change)
    return tuple(first.values())[:EXAMPLES]

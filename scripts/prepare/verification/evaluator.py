"""What every variant is asked, and what it scored: agreement with the source model on real inputs
always, the task's metric where an evaluation set is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.options import FP32
from onnxferry.scripts.prepare.report import formatting
from onnxferry.scripts.prepare.report.formatting import Change
from onnxferry.scripts.prepare.selection import criteria
from onnxferry.scripts.prepare.selection.criteria import Gate
from onnxferry.scripts.prepare.verification import comparison
from onnxferry.scripts.prepare.verification.comparison import Outcome, Truth
from onnxferry.scripts.prepare.verification.eval_set import Answers, Questions
from onnxferry.scripts.prepare.verification.samples import Sample
from onnxferry.system.console import Progress

EXAMPLES = 5  # of changed answers


@dataclass(frozen=True)
class Score:
    """`difference`: the figures of verify. `metrics`: points by name, empty without an evaluation
    set, of which `asked` items were asked. `loss`: the largest relative loss of a metric, else the
    share of changed answers. `reason`: the bound that is broken, None within the gate."""

    difference: Mapping[str, Any]
    loss: float
    reason: str | None
    metrics: Mapping[str, float] = field(default_factory=dict)
    asked: int = 0
    changes: tuple[Change, ...] = ()


@dataclass(frozen=True)
class Exam:
    """`source` is the source model's own part: the answers of the exported graph, once that is
    proved to be the source model's."""

    truth: Truth
    samples: Sequence[Sample]
    gate: Gate
    questions: Questions | None = None
    source: Answers | None = None

    def opened(self, exported: Path, progress: Progress) -> Exam:
        """The exam with the key to its questions. Raises PrepareError when the model directory
        `exported` does not answer as the source model does."""
        criteria.require(comparison.measure(self.truth, exported, self.samples), self.gate)
        return (
            replace(self, source=self.questions.ask(exported, progress)) if self.questions else self
        )

    def baseline(self, folder: Path) -> Score:
        """The score of the exported graph itself, which `opened` has let through."""
        found = self._figures(comparison.measure(self.truth, folder, self.samples), FP32)
        answers = self.source
        return (
            Score(found, 0.0, None, answers.figures, len(answers.decisions))
            if answers
            else Score(found, 0.0, None)
        )

    def score(self, folder: Path, precision: str, progress: Progress) -> Score:
        """What the model directory `folder` scores. Raises PrepareError or EvaluationError where it
        cannot answer."""
        outcomes = comparison.measure(self.truth, folder, self.samples)
        found = self._figures(outcomes, precision)
        changes = formatting.changed(outcomes)
        reason = criteria.difference(outcomes, self.gate, precision)
        if self.questions is None or self.source is None:
            reason = reason or criteria.changes(found["agreement"], len(outcomes), self.gate)
            return Score(found, 1 - found["agreement"], reason, changes=_some(changes))
        answers = self.questions.ask(folder, progress, self.source, self.gate)
        lost = self.questions.source(self.source, len(answers.decisions))
        reason = reason or criteria.loss(answers.figures, lost, self.gate)
        changes = self.questions.changed(answers, self.source) + changes
        _, loss = criteria.worst_loss(answers.figures, lost)
        return Score(found, loss, reason, answers.figures, len(answers.decisions), _some(changes))

    def _figures(self, outcomes: Sequence[Outcome], precision: str) -> dict[str, Any]:
        bounds = {"tolerance": self.gate.of(precision), "min_agreement": self.gate.min_agreement}
        return comparison.figures(outcomes) | bounds

    def note(self) -> str | None:
        """That the inputs are too few to tell a loss of --max-loss; None when they are enough."""
        count = len(self.samples)
        if self.questions or count * self.gate.max_loss >= 1 or not self.gate.max_loss:
            return None
        return (
            f"with {count} input(s) one changed answer is {criteria.percent(1 / count)}, more than"
            f" {criteria.percent(self.gate.max_loss)} (--max-loss): give --data or --inputs to tell"
            " smaller losses"
        )


def _some(changes: Sequence[Change]) -> tuple[Change, ...]:
    """The first few, each input once."""
    return tuple({change.input or change.where: change for change in reversed(changes)}.values())[
        ::-1
    ][:EXAMPLES]

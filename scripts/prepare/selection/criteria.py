"""What a variant must keep to be accepted, and the sentence that says which bound it breaks."""

from __future__ import annotations

from dataclasses import dataclass

from onnxferry.scripts.prepare.options import FP32
from onnxferry.scripts.prepare.verification.comparison import DifferenceBounds
from onnxferry.scripts.prepare.verification.eval_set import worst_drop
from onnxferry.scripts.prepare.verification.evaluator import EvaluationResult, Evaluator, GiveUp
from onnxferry.scripts.prepare.verification.formatting import percent
from onnxferry.system.errors import UsageError

# of fp32: exporters and fused operators reorder additions, and deep models add that up
TOLERANCE = 1e-3
# A variant is given up after a part of the evaluation set when it drops by more than so many times
# --max-metric-drop, and by more than GIVE_UP_DROP: the metrics of a part scatter.
GIVE_UP_TIMES, GIVE_UP_DROP = 10.0, 0.25
CHEAP = 10.0  # seconds of an evaluation that is made for the report alone


@dataclass(frozen=True)
class AcceptanceCriteria:
    """The user's bounds. `tolerance` None: TOLERANCE for fp32, else none. `max_metric_drop` is a
    share."""

    tolerance: float | None = None
    min_agreement: float = 0.9
    max_metric_drop: float = 0.01

    def bounds(self, precision: str) -> DifferenceBounds:
        """The bounds of the difference for a precision."""
        free = self.tolerance is None and precision == FP32
        return DifferenceBounds(TOLERANCE if free else self.tolerance, self.min_agreement)

    def give_up(self, evaluator: Evaluator) -> GiveUp:
        """When a variant is as good as rejected. The answers to all samples are looked at where
        that is cheap: the report then shows the whole figure."""
        shares = [1 - self.min_agreement]
        shares += [] if evaluator.eval_set else [self.max_metric_drop]
        if evaluator.seconds <= CHEAP:
            return GiveUp(drop=self.give_up_drop)
        return GiveUp(min(shares) * len(evaluator.samples) + 1e-9, self.give_up_drop)

    @property
    def give_up_drop(self) -> float:
        """The drop on a part of the evaluation set after which the rest is not asked."""
        return max(GIVE_UP_TIMES * self.max_metric_drop, GIVE_UP_DROP)

    @property
    def _limit(self) -> str:
        return f"more than {percent(self.max_metric_drop)} (--max-metric-drop)"

    def rejection(self, result: EvaluationResult, precision: str) -> str | None:
        """Why a variant is rejected; None when it is accepted."""
        if broken := self.bounds(precision).broken(result.difference):
            return broken
        return self._drop(result) if result.drop > self.max_metric_drop + 1e-9 else None

    def _drop(self, result: EvaluationResult) -> str:
        if not result.reference:
            inputs = result.difference["inputs"]
            changed = f"{round(result.drop * inputs)} of {inputs} answers changed"
            return f"{changed} ({percent(result.drop)}), {self._limit}"
        name, drop = worst_drop(result.metrics, result.reference)
        values = f"{result.metrics[name]:.2f}, the source model's is {result.reference[name]:.2f}"
        return f"{name} {values}: a drop of {percent(drop)}, {self._limit}"

    def too_few_inputs(self, evaluator: Evaluator) -> str | None:
        """The sentence that the inputs cannot tell a drop of `max_metric_drop`, or None."""
        count = len(evaluator.samples)
        if evaluator.eval_set or count * self.max_metric_drop >= 1 or not self.max_metric_drop:
            return None
        one = f"with {count} input(s) one changed answer is {percent(1 / count)}"
        return f"{one}, {self._limit}: give --data or --inputs to tell smaller drops"


def parse_share(text: str) -> float:
    """A share from "1%" or "0.01". Raises UsageError for anything else."""
    number = text.strip()
    try:
        value = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError as e:
        raise UsageError(f"--max-metric-drop {text}: give a share such as 1% or 0.01") from e
    if not 0 <= value <= 1:
        raise UsageError(f"--max-metric-drop {text}: must be between 0 and 100%")
    return value

"""Which variant is shipped: the fastest within the gate; of equally fast ones the smallest, then
the most exact."""

from __future__ import annotations

from collections.abc import Sequence

from onnxferry.scripts.prepare.selection.candidates import Trial

TIE = 0.03  # of the time: nearer ones are as fast
SAME_SIZE = 0.01


def choose(trials: Sequence[Trial]) -> tuple[Trial, str]:
    """One of `trials`, which are all within the gate and measured, and the sentence that tells
    why."""
    fastest = min(trials, key=_time)
    fast = [t for t in trials if _time(t) <= (1 + TIE) * _time(fastest)]
    least = min(_size(t) for t in fast)
    small = [t for t in fast if _size(t) <= (1 + SAME_SIZE) * least]
    best = min(small, key=_difference)
    if len(trials) == 1:
        return best, "it is the only one within the gate"
    if len(fast) == 1:
        return best, "it is the fastest within the gate"
    others = ", ".join(t.name for t in fast if t is not best)
    why = "the smallest" if len(small) == 1 else "the most exact of the smallest"
    return best, f"it is as fast as {others} (within {TIE:.0%}), and {why} of these"


def _time(trial: Trial) -> float:
    return trial.speed.mean if trial.speed else float("inf")


def _size(trial: Trial) -> int:
    return trial.size or 0


def _difference(trial: Trial) -> float:
    return float(trial.score.difference["mean_abs"]) if trial.score else float("inf")

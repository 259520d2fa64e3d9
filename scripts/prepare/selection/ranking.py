"""The fastest accepted variant is chosen; of equals the smallest, then the most exact."""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnxferry.scripts.prepare.selection.candidates import CandidateResult

TIE = 0.03  # of the time: nearer ones are as fast
SAME_SIZE = 0.01


def choose(results: Sequence[CandidateResult]) -> tuple[CandidateResult, str]:
    """One of `results`, all accepted and measured, and the sentence that tells why."""
    least_ms = min(r.mean_ms for r in results)
    fast = [r for r in results if r.mean_ms <= (1 + TIE) * least_ms]
    least = min(r.size or 0 for r in fast)
    small = [r for r in fast if (r.size or 0) <= (1 + SAME_SIZE) * least]
    best = min(small, key=_difference)
    if len(results) == 1:
        return best, "it is the only one within the gate"
    if len(fast) == 1:
        return best, "it is the fastest within the gate"
    others = ", ".join(r.name for r in fast if r is not best)
    why = "the smallest" if len(small) == 1 else "the most exact of the smallest"
    return best, f"it is as fast as {others} (within {TIE:.0%}), and {why} of these"


def _difference(result: CandidateResult) -> float:
    found = result.evaluation
    return float(found.difference["mean_abs"]) if found else math.inf

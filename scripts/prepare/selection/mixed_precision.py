"""Mixed precision: which parts of a graph int8 spoils, and the fewest of them that must stay in
float32.

Each group of operators is quantised alone, and ranked by the mean difference of the raw outputs.
Then the worst k groups are kept in float32, k doubling until the gate lets it pass, and halving
back to the fewest that do. Groups that are neighbours count as one where there are more than PARTS,
so that a candidate takes at most about 50 builds.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxferry.scripts.prepare.selection.candidates import Bench, Trial, discard
from onnxferry.scripts.prepare.verification import comparison
from onnxferry.scripts.prepare.verification.evaluator import Exam
from onnxferry.system.console import Progress

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.variant import OperatorGroup

PARTS = 40  # that are ranked
INPUTS = 24  # on which
MOST = 0.5  # of the parts: with more in float32 there is no speed left to gain
Parts = Mapping[str, frozenset[str]]


@dataclass(frozen=True)
class Search:
    """The search for one rejected trial."""

    rejected: Trial
    bench: Bench
    exam: Exam

    def run(self, groups: Sequence[OperatorGroup], progress: Progress) -> Trial:
        """The trial with the fewest groups in float32 that passes; the rejected one, with what was
        tried as its reason, when none does."""
        parts = bundled(groups)
        ranked = self._ranked(parts, progress)
        found, tried = fewest(
            ranked,
            math.floor(MOST * len(ranked)),
            lambda worst: self._attempt(parts, worst, progress),
        )
        if found:
            return replace(found, reason=f"{len(parts)} parts ranked, {tried} mixtures tried")
        trial = self.rejected
        return replace(
            trial,
            reason=(
                f"{trial.reason}; mixed precision does not help: {len(parts)} parts ranked, "
                f"{tried} mixtures tried, with up to half of the parts in float32"
            ),
        )

    def _ranked(self, parts: Parts, progress: Progress) -> list[str]:
        """The names of `parts`, the one that int8 spoils most first."""
        everything = frozenset().union(*parts.values())
        spoilt: dict[str, float] = {}
        for number, (name, operators) in enumerate(parts.items()):
            progress(f"part {number + 1} of {len(parts)}: {name}")
            spoilt[name] = self._difference(everything - operators)
        return sorted(parts, key=lambda name: -spoilt[name])

    def _difference(self, keep: frozenset[str]) -> float:
        samples = self.exam.samples
        some = (
            [samples[i * len(samples) // INPUTS] for i in range(INPUTS)]
            if len(samples) > INPUTS
            else samples
        )
        try:
            folder = self.bench.build(self.rejected.variant, "part", keep)
        except Exception:  # what cannot be quantised alone is told to be spoilt
            return math.inf
        try:
            return float(
                comparison.figures(comparison.measure(self.exam.truth, folder, some))["mean_abs"]
            )
        finally:
            shutil.rmtree(folder)

    def _attempt(self, parts: Parts, worst: Sequence[str], progress: Progress) -> Trial:
        old = self.rejected.variant
        variant = replace(
            old,
            name=f"{old.name}-mixed",
            how=f"{old.how}; {len(worst)} of {len(parts)} parts stay in float32",
        )
        progress(f"{len(worst)} parts in float32")
        return self.bench.attempt(
            variant, self.exam, progress, {name: parts[name] for name in worst}
        )


def bundled(groups: Sequence[OperatorGroup]) -> dict[str, frozenset[str]]:
    """At most PARTS parts of neighbours, each named by its groups."""
    size = -(-len(groups) // PARTS)
    chunks = (groups[i : i + size] for i in range(0, len(groups), max(size, 1)))
    return {_name(chunk): frozenset().union(*(g.operators for g in chunk)) for chunk in chunks}


def _name(groups: Sequence[OperatorGroup]) -> str:
    return groups[0].name if len(groups) == 1 else f"{groups[0].name} to {groups[-1].name}"


def fewest(
    ranked: Sequence[str], most: int, attempt: Callable[[Sequence[str]], Trial]
) -> tuple[Trial | None, int]:
    """The trial with the fewest of the first `ranked` names that is within the gate, None when none
    up to `most` is, and how many were tried. Only the folder of the result is left."""
    failed, passed, tried = 0, most + 1, 0
    best: Trial | None = None
    while passed - failed > 1:
        count = (failed + passed) // 2 if best else min(max(2 * failed, 1), most)
        trial = attempt(ranked[:count])
        tried += 1
        if trial.within:
            if best:
                discard(best)
            best, passed = trial, count
        else:
            discard(trial)
            failed = count
    return best, tried

"""Which of the variants that were made is the fastest within the gate, at the least cost: rounds
tell the fastest apart, and these are evaluated first. What is clearly slower than an accepted one
cannot be chosen: it is measured no more and, where that takes long, not evaluated.

On BERT-base a variant's round takes 3 to 6 s, and its evaluation 10 to 30.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeAlias

from onnxferry.scripts.prepare.selection.candidate_tester import (
    CandidateTester,
    announce,
    announced,
)
from onnxferry.scripts.prepare.selection.candidates import MADE, SKIPPED, WITHIN, CandidateResult
from onnxferry.scripts.prepare.selection.criteria import CHEAP
from onnxferry.scripts.prepare.selection.latency import LatencyRounds
from onnxferry.system import console
from onnxferry.system.console import Progress

# Times the fastest, after so many rounds: slower ones cannot win.
MARGINS = (1.5, 1.25, 1.15, 1.1)
Results: TypeAlias = Sequence[CandidateResult]


@dataclass(frozen=True)
class Elimination:
    """`results` by name: replaced as more is known of them."""

    tester: CandidateTester
    rounds: LatencyRounds
    results: dict[str, CandidateResult]

    def measure(self, names: Sequence[str]) -> None:
        """One more round of the results of these `names`, in turns."""
        with console.stage(f"measure the latency of {len(names)} variant(s)") as progress:
            folders = {name: self.results[name].model_dir for name in names}
            for name, latency in self.rounds.run(folders, progress).items():
                self._keep(replace(self.results[name], latency=latency))

    def measure_first(self) -> None:
        """A round of all that were made, in which one that cannot run fails alone."""
        made = [r for r in self.results.values() if r.status == MADE]
        with console.stage(f"measure the latency of {len(made)} variant(s) once") as progress:
            found = [self.tester.attempt(r, partial(self._measured, r, progress)) for r in made]
        for result in found:
            self._keep(result)
            if result.status != MADE:
                announce(result)

    def _measured(self, result: CandidateResult, progress: Progress) -> CandidateResult:
        latencies = self.rounds.run({result.name: result.model_dir}, progress)
        return replace(result, latency=latencies[result.name])

    def decide(self, *, mixed: bool) -> None:
        """Measure and evaluate, the fastest first, until one is accepted that no other can beat, or
        none is left. `mixed`: or until all that are left are clearly slower than a rejected one,
        which mixed precision may save."""
        while near := self._near():
            if mixed and any(self._clearly_faster(r, near) for r in self.results.values()):
                return
            known = min(self.rounds.of(r.name) for r in near)
            if len(near) > 1 and known < len(MARGINS):
                self.measure([r.name for r in near])
            elif any(r.within for r in self._judged(near)):
                return

    def _clearly_faster(self, result: CandidateResult, others: Results) -> bool:
        fastest = min(r.mean_ms for r in others)
        return result.may_be_mixed and MARGINS[0] * result.mean_ms < fastest

    def _near(self) -> Results:
        """Those that may be chosen and are, by what is known, near the fastest."""
        open_ = [r for r in self.results.values() if r.selectable and r.status in (MADE, WITHIN)]
        if not open_:
            return []
        fastest = min(open_, key=lambda r: r.mean_ms)
        return [r for r in open_ if r.mean_ms <= self._margin(r, fastest) * fastest.mean_ms]

    def _margin(self, *pair: CandidateResult) -> float:
        rounds = min(self.rounds.of(r.name) for r in pair)
        return MARGINS[min(rounds, len(MARGINS)) - 1]

    def finish(self) -> None:
        """Evaluate what is left for the report, or say why that is left out."""
        left = [r for r in self.results.values() if r.status == MADE]
        if self.tester.evaluator.seconds <= CHEAP:
            self._judged(left)
            return
        accepted = [r for r in self.results.values() if r.within and r.selectable]
        best = min(accepted, key=lambda r: r.mean_ms)
        for r in left:
            slower = f"{r.mean_ms / best.mean_ms:.1f} times as slow as {best.name}"
            reason = f"{slower}, which is within the gate: not evaluated"
            skipped = replace(r, status=SKIPPED, reason=reason)
            announce(skipped)
            self._keep(skipped)

    def _judged(self, some: Results) -> Results:
        """`some`, those evaluated that were only made."""
        for r in some:
            if r.status == MADE:
                self._keep(announced(r.name, partial(self.tester.judge, r)))
        return [self.results[r.name] for r in some]

    def _keep(self, result: CandidateResult) -> None:
        self.results[result.name] = result

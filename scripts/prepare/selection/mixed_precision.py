"""Mixed precision: the fewest parts of a graph that must stay in float32.

Each group of operators is quantised alone, and ranked by the mean difference of the raw outputs;
once, for all variants: where int8 degrades a layer, it does so with weights of 7 bits and of 8. The
worst k stay in float32, k doubling until the variant is accepted, and halving back. Beyond PARTS
neighbouring groups count as one, so that about 50 builds do.
"""

from __future__ import annotations

import logging
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from onnxferry.scripts.datasets import evenly
from onnxferry.scripts.prepare.selection.candidate_tester import CandidateTester
from onnxferry.scripts.prepare.selection.candidates import FAILED, CandidateResult
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.variants.variant import OperatorGroup
from onnxferry.scripts.prepare.verification import comparison
from onnxferry.scripts.prepare.verification.evaluator import Evaluator
from onnxferry.scripts.prepare.verification.graph_run import GraphRun
from onnxferry.system.console import Progress

_log = logging.getLogger(__name__)
PARTS = 40  # that are ranked
INPUTS = 24  # with which they are ranked, the shorter ones of all where these take long
SLOW = 0.05  # seconds of an input that takes long
MOST = 0.5  # of the parts: with more in float32 int8 gains no time
Parts: TypeAlias = Mapping[str, frozenset[str]]  # name -> operators


@dataclass(frozen=True)
class Ranking:
    """`parts` by name, their names `worst` first, and the `failures` on the way."""

    parts: Parts
    worst: Sequence[str]
    failures: Sequence[str] = ()


def rank(
    rejected: CandidateResult,
    tester: CandidateTester,
    groups: Sequence[OperatorGroup],
    progress: Progress,
) -> Ranking:
    """How much each part of `groups` degrades a rejected candidate."""
    parts, failures = neighbours(groups), list[str]()
    everything = frozenset().union(*parts.values())
    degraded: dict[str, float] = {}
    for number, (name, operators) in enumerate(parts.items()):
        progress(f"part {number + 1} of {len(parts)}: {name}")
        try:
            degraded[name] = _difference(rejected, tester, everything - operators)
        except Exception as e:  # a tool's own kinds
            _log.warning("a part of %s cannot be ranked", rejected.name, exc_info=True)
            failures.append(f"{type(e).__name__}: {e}")
            degraded[name] = math.inf
    return Ranking(parts, sorted(parts, key=lambda name: -degraded[name]), failures)


def _difference(rejected: CandidateResult, tester: CandidateTester, keep: frozenset[str]) -> float:
    """The mean with `keep` in float32."""
    evaluator = tester.evaluator
    folder = tester.builder.build(rejected.variant, "part", keep)
    try:
        compared = comparison.compare(evaluator.reference, GraphRun(folder), _inputs(evaluator))
        return float(comparison.figures(compared)["mean_abs"])
    finally:
        shutil.rmtree(folder)


def _inputs(evaluator: Evaluator) -> Sequence[Sample]:
    samples = list(evaluator.samples)
    if evaluator.seconds_each > SLOW:
        samples.sort(key=lambda sample: len(sample.request.body))
        samples = samples[: max(INPUTS, len(samples) // 2)]
    return evenly(samples, INPUTS)


@dataclass(frozen=True)
class MixedPrecisionSearch:
    """The search for one rejected candidate. `failures`: defects on the way."""

    rejected: CandidateResult
    tester: CandidateTester
    failures: list[str] = field(default_factory=list)

    def run(self, ranking: Ranking, progress: Progress) -> CandidateResult:
        """The accepted candidate with the fewest parts in float32, else the rejected one."""
        parts, ranked = ranking.parts, ranking.worst
        self.failures.extend(ranking.failures)
        most = math.floor(MOST * len(ranked))
        found, tried = fewest(ranked, most, lambda worst: self._test(parts, worst, progress))
        told = f"{len(parts)} parts ranked, {tried} mixtures tried"
        if self.failures:
            told += f", {len(self.failures)} failed ({self.failures[-1]})"
        if found:
            return replace(found, reason=told)
        why = f"mixed precision does not help: {told}, with up to half of the parts in float32"
        return replace(self.rejected, reason=f"{self.rejected.reason}; {why}")

    def _test(self, parts: Parts, worst: Sequence[str], progress: Progress) -> CandidateResult:
        old, count = self.rejected.variant, len(worst)
        how = f"{old.how}; {count} of {len(parts)} parts stay in float32"
        variant = replace(old, name=f"{old.name}-mixed", how=how)
        progress(f"{count} parts in float32")
        result = self.tester.test(variant, progress, {name: parts[name] for name in worst})
        if result.status == FAILED:
            self.failures.append(result.reason)
        return result


def neighbours(groups: Sequence[OperatorGroup]) -> dict[str, frozenset[str]]:
    """At most PARTS parts of neighbouring groups, each named by its first and last."""
    size = max(-(-len(groups) // PARTS), 1)
    chunks = (groups[i : i + size] for i in range(0, len(groups), size))
    return {_name(chunk): frozenset().union(*(g.operators for g in chunk)) for chunk in chunks}


def _name(groups: Sequence[OperatorGroup]) -> str:
    return groups[0].name if len(groups) == 1 else f"{groups[0].name} to {groups[-1].name}"


def fewest(
    ranked: Sequence[str], most: int, test: Callable[[Sequence[str]], CandidateResult]
) -> tuple[CandidateResult | None, int]:
    """The accepted candidate with the fewest of the first `ranked` names, up to `most`, or None,
    and how many were tested. Other folders are deleted."""
    failed, passed, tried = 0, most + 1, 0
    best: CandidateResult | None = None
    while passed - failed > 1:
        count = (failed + passed) // 2 if best else min(max(2 * failed, 1), most)
        result = test(ranked[:count])
        tried += 1
        if result.within:
            if best:
                best.discarded()
            best, passed = result, count
        else:
            result.discarded()
            failed = count
    return best, tried

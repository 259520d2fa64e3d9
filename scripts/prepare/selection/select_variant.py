"""Makes every variant, finds the fastest that is accepted, tries mixed precision, and chooses."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from onnxferry.scripts.prepare.options import AUTO, FP32, Options
from onnxferry.scripts.prepare.selection import latency, ranking
from onnxferry.scripts.prepare.selection.candidate_tester import (
    CandidateTester,
    announce,
    announced,
)
from onnxferry.scripts.prepare.selection.candidates import CHOSEN, MADE, SKIPPED, CandidateResult
from onnxferry.scripts.prepare.selection.cpu_target import CpuTarget
from onnxferry.scripts.prepare.selection.elimination import Elimination, Results
from onnxferry.scripts.prepare.selection.latency import LatencyRounds, TimedRequests
from onnxferry.scripts.prepare.selection.mixed_precision import MixedPrecisionSearch, rank
from onnxferry.scripts.prepare.variants.variant import Variant
from onnxferry.scripts.prepare.verification.eval_set import TIMED, as_samples
from onnxferry.scripts.prepare.verification.evaluator import Evaluator
from onnxferry.system import console
from onnxferry.system.errors import PrepareError

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.table import VariantTable

MIXED = 2  # rejected int8 variants for which mixed precision is tried, the fastest first
LEAST = 10  # inputs without which no variant that may lose accuracy is taken unasked


@dataclass(frozen=True)
class Selection:
    """All candidates in the order of the table, mixed ones last, the chosen one, and why. `note`:
    the inputs are too few."""

    results: Results
    chosen: CandidateResult
    why: str
    tester: CandidateTester
    requests: TimedRequests
    cpu: CpuTarget
    note: str | None = None


def select_variant(
    options: Options, table: VariantTable, tester: CandidateTester, cpu: CpuTarget
) -> Selection:
    """The variant to ship. Raises PrepareError with the reasons when none is accepted."""
    requests = _timed_requests(tester.evaluator)
    note = _note(table.asked(options), tester)
    results = {r.name: r for r in _made(options, table, tester, cpu)}
    elimination = Elimination(tester, LatencyRounds(requests), results)
    elimination.measure([table.variants[0].name])
    elimination.measure_first()
    elimination.decide(mixed=not options.variant)
    if not options.variant:
        _mix(elimination, table)
        elimination.decide(mixed=False)
    if not any(r.within and r.selectable for r in results.values()):
        raise PrepareError(_none_left(options, list(results.values())))
    elimination.finish()
    selectable = [r for r in results.values() if r.selectable and (r.within or r.slower)]
    chosen, why = ranking.choose(selectable)
    why = "it was asked for (--variant)" if options.variant else why
    kept = {name: r if r.within else r.discarded() for name, r in results.items()}
    kept[chosen.name] = chosen = replace(kept[chosen.name], status=CHOSEN)
    return Selection(list(kept.values()), chosen, why, tester, requests, cpu, note)


def _timed_requests(evaluator: Evaluator) -> TimedRequests:
    task, data = evaluator.reference.spec.task, evaluator.eval_set
    samples = as_samples(data.items[:TIMED], data.metric) if data else evaluator.samples
    return latency.timed_requests(task, samples, *latency.counts(evaluator.seconds_each))


def _note(asked: Sequence[Variant], tester: CandidateTester) -> str | None:
    """That the inputs are too few, where a variant may lose accuracy; printed, too."""
    note = tester.criteria.too_few_inputs(tester.evaluator)
    if note is None or all(v.precision == FP32 for v in asked):
        return None
    console.err.print(f"    {note}", style="yellow", markup=False)
    return note


def _made(
    options: Options, table: VariantTable, tester: CandidateTester, cpu: CpuTarget
) -> Results:
    """The exported graph, and the variants that are asked for."""
    asked = table.asked(options)
    exported, *others = table.variants
    results = [tester.test_exported(exported)]
    with console.stage("make variants") as progress:
        for variant in (v for v in others if v in asked):
            progress(variant.name)
            reason = table.skipped(variant, cpu.kind, tester.builder.inputs)
            reason = reason or _unjudged(options, tester.evaluator, variant)
            skipped = CandidateResult(variant, SKIPPED, reason or "")
            results.append(skipped if reason else tester.make(variant))
            if results[-1].status != MADE:
                announce(results[-1])
    return [replace(r, selectable=r.variant in asked) for r in results]


def _unjudged(options: Options, evaluator: Evaluator, variant: Variant) -> str | None:
    asked = options.variant or options.precision != AUTO
    count = len(evaluator.samples)
    if asked or variant.precision == FP32 or evaluator.eval_set or count >= LEAST:
        return None
    give = f"give --data or --inputs (at least {LEAST})"
    ask = f"ask for it with --variant {variant.name}"
    return f"it may lose accuracy, and {count} input(s) cannot tell: {give}, or {ask}"


def _mix(elimination: Elimination, table: VariantTable) -> None:
    """A mixed form of a rejected int8 variant that is faster than all that may be chosen."""
    results, tester = elimination.results, elimination.tester
    best = min((r.mean_ms for r in results.values() if r.within and r.selectable), default=math.inf)
    limit = best * (1 - ranking.TIE)
    rejected = sorted((r for r in results.values() if r.may_be_mixed), key=_ms)
    faster = [r for r in rejected if r.mean_ms < limit][:MIXED]
    if not faster:
        return
    with console.stage("rank what int8 degrades") as progress:
        ranked = rank(faster[0], tester, table.groups(tester.builder.inputs), progress)
    for candidate in faster:
        search = MixedPrecisionSearch(candidate, tester)
        mixed = announced(f"{candidate.name}-mixed", partial(search.run, ranked))
        results[mixed.name] = mixed
        if mixed.within:
            # with the fastest, in turns: latencies of another minute cannot be compared
            rivals = sorted((r for r in results.values() if r.within and r.latency), key=_ms)
            elimination.measure([mixed.name, *(r.name for r in rivals[:1])])
            return


def _ms(result: CandidateResult) -> float:
    return result.mean_ms


def _none_left(options: Options, results: Results) -> str:
    asked = f"variant {options.variant}" if options.variant else f"{options.precision} variant"
    rows = [f"  {r.name}: {r.status}: {r.reason}" for r in results if r.selectable]
    more = "--max-metric-drop, --min-agreement or --tolerance let more pass"
    advice = f"{more}; --precision fp32 keeps the source's accuracy"
    rows = rows or ["  there is none of this kind"]
    return "\n".join([f"no {asked} is within the gate:", *rows, advice])

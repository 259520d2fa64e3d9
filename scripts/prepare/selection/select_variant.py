"""Tests every variant, measures those that are accepted, tries mixed precision, and chooses one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from onnxferry.scripts.prepare.options import AUTO, FP32, Options
from onnxferry.scripts.prepare.selection import latency, ranking
from onnxferry.scripts.prepare.selection.candidate_tester import CandidateTester, announced
from onnxferry.scripts.prepare.selection.candidates import CHOSEN, CandidateResult
from onnxferry.scripts.prepare.selection.cpu_target import CpuTarget
from onnxferry.scripts.prepare.selection.latency import TimedRequests
from onnxferry.scripts.prepare.selection.mixed_precision import MixedPrecisionSearch
from onnxferry.scripts.prepare.variants.variant import Variant
from onnxferry.scripts.prepare.verification.eval_set import TIMED, as_samples
from onnxferry.scripts.prepare.verification.evaluator import Evaluator
from onnxferry.system import console
from onnxferry.system.errors import PrepareError

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.table import VariantTable

MIXED = 2  # rejected int8 variants for which mixed precision is tried, the fastest first
LEAST = 10  # inputs without which no variant that may lose accuracy is taken unasked
Results: TypeAlias = Sequence[CandidateResult]


@dataclass(frozen=True)
class Selection:
    """All candidates in the order of the table, the chosen one, and why. `note`: the inputs are too
    few."""

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
    results = _test_all(options, table, tester, cpu)
    looked = [r for r in results if r.folder and (r.within or r.may_be_mixed)]
    rounds = latency.FIRST if len(looked) > 1 and not options.variant else 1
    results = _timed(results, looked, requests, rounds)
    if not options.variant:
        results = _with_mixed(results, table, tester, requests)
    results = [r if r.within else r.discarded() for r in results]
    selectable = [r for r in results if r.within and r.selectable]
    if not selectable:
        raise PrepareError(_none_left(options, results))
    measured = _measured(selectable, requests)
    chosen, why = ranking.choose(measured)
    chosen = replace(chosen, status=CHOSEN)
    why = "it was asked for (--variant)" if options.variant else why
    renewed = {r.name: r for r in (*results, *measured, chosen)}
    results = list(renewed.values())
    return Selection(results, chosen, why, tester, requests, cpu, note)


def _timed_requests(evaluator: Evaluator) -> TimedRequests:
    task, data = evaluator.reference.spec.task, evaluator.eval_set
    samples = as_samples(data.items[:TIMED], data.metric) if data else evaluator.samples
    return latency.timed_requests(task, samples)


def _note(asked: Sequence[Variant], tester: CandidateTester) -> str | None:
    """That the inputs are too few, where a variant may lose accuracy; printed, too."""
    note = tester.criteria.too_few_inputs(tester.evaluator)
    if note is None or all(v.precision == FP32 for v in asked):
        return None
    console.err.print(f"    {note}", style="yellow", markup=False)
    return note


def _test_all(
    options: Options, table: VariantTable, tester: CandidateTester, cpu: CpuTarget
) -> Results:
    asked = table.asked(options)
    exported, *others = table.variants

    def skipped(variant: Variant) -> str | None:
        reason = table.skipped(variant, cpu.kind, tester.builder.inputs)
        return reason or _unjudged(options, tester.evaluator, variant)

    tests = [(v.name, partial(tester.test, v, skipped=skipped)) for v in others if v in asked]
    results = [tester.test_exported(exported), *(announced(*test) for test in tests)]
    return [replace(r, selectable=r.variant in asked) for r in results]


def _unjudged(options: Options, evaluator: Evaluator, variant: Variant) -> str | None:
    asked = options.variant or options.precision != AUTO
    count = len(evaluator.samples)
    if asked or variant.precision == FP32 or evaluator.eval_set or count >= LEAST:
        return None
    give = f"give --data or --inputs (at least {LEAST})"
    ask = f"ask for it with --variant {variant.name}"
    return f"it may lose accuracy, and {count} input(s) cannot tell: {give}, or {ask}"


def _timed(results: Results, some: Results, requests: TimedRequests, rounds: int) -> Results:
    """`results` with a new latency of `some`, measured in turns."""
    folders = {r.name: r.model_dir for r in some}
    with console.stage(f"measure the latency of {len(some)} variant(s)") as progress:
        found = latency.measure(folders, requests, rounds, progress)
    return [replace(r, latency=found.get(r.name, r.latency)) for r in results]


def _with_mixed(
    results: Results, table: VariantTable, tester: CandidateTester, requests: TimedRequests
) -> Results:
    """`results`, and a mixed form of a rejected int8 variant that is faster than all that may be
    chosen."""
    found, ranked = list(results), sorted(results, key=lambda r: r.mean_ms)
    best = min((r.mean_ms for r in results if r.within and r.selectable), default=math.inf)
    limit = best * (1 - ranking.TIE)
    faster = [r for r in ranked if r.may_be_mixed and r.mean_ms < limit]
    for rejected in faster[:MIXED]:
        search = MixedPrecisionSearch(rejected, tester)
        run = partial(search.run, table.groups(tester.builder.inputs))
        mixed = announced(f"{rejected.name}-mixed", run)
        if mixed.within:
            found.insert(found.index(rejected) + 1, mixed)
            # with the fastest, in turns: latencies of another minute cannot be compared
            rivals = [r for r in ranked if r.within and r.latency]
            return _timed(found, [mixed, *rivals[:1]], requests, latency.FIRST)
        found[found.index(rejected)] = mixed
    return found


def _measured(selectable: Results, requests: TimedRequests) -> Results:
    """Those near the fastest are measured in more rounds."""
    fastest = min(r.mean_ms for r in selectable)
    fast = [r for r in selectable if r.mean_ms <= latency.SLOW * fastest]
    return selectable if len(fast) == 1 else _timed(selectable, fast, requests, latency.ROUNDS)


def _none_left(options: Options, results: Results) -> str:
    asked = f"variant {options.variant}" if options.variant else f"{options.precision} variant"
    rows = [f"  {r.name}: {r.status}: {r.reason}" for r in results if r.selectable]
    more = "--max-metric-drop, --min-agreement or --tolerance let more pass"
    advice = f"{more}; --precision fp32 keeps the source's accuracy"
    rows = rows or ["  there is none of this kind"]
    return "\n".join([f"no {asked} is within the gate:", *rows, advice])

"""The variants against each other: examined, measured, mended where int8 loses too much, and one
chosen."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from onnxferry.scripts.prepare.options import AUTO, FP32, INT8, Options
from onnxferry.scripts.prepare.selection import candidates, latency, ranking
from onnxferry.scripts.prepare.selection.candidates import CHOSEN, REJECTED, WITHIN, Bench, Trial
from onnxferry.scripts.prepare.selection.cpu_target import Target
from onnxferry.scripts.prepare.selection.latency import Speed, Workload
from onnxferry.scripts.prepare.selection.mixed_precision import Search
from onnxferry.scripts.prepare.verification.eval_set import DRAWN, as_samples
from onnxferry.scripts.prepare.verification.evaluator import Exam
from onnxferry.system import console
from onnxferry.system.console import stage
from onnxferry.system.errors import PrepareError

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.table import VariantTable
    from onnxferry.scripts.prepare.variants.variant import Variant

MENDED = 2  # rejected int8 variants for which mixed precision is tried, the fastest first
LEAST = 10  # inputs without which no variant that may lose accuracy is taken unasked


@dataclass(frozen=True)
class Contest:
    """All trials in the order of the table, the chosen one, and why; `workload` is what speed was
    measured with. `note` tells that the inputs are too few for the gate, where variants may lose
    accuracy."""

    trials: Sequence[Trial]
    chosen: Trial
    why: str
    exam: Exam
    workload: Workload
    target: Target
    note: str | None = None


def hold(options: Options, ways: VariantTable, bench: Bench, exam: Exam, target: Target) -> Contest:
    """Raises PrepareError with the reasons when no variant that may be chosen is within the
    gate."""
    asked = ways.asked(options)
    rows = [v for v in ways.variants[1:] if v in asked]
    note = exam.note() if any(v.precision != FP32 for v in rows) else None
    if note:
        console.err.print(f"    {note}", style="yellow", markup=False)
    found = [
        candidates.baseline(ways.variants[0], bench, exam),
        *candidates.run(
            rows,
            bench,
            exam,
            lambda v: ways.skipped(v, target.kind, bench.material) or _unjudged(options, exam, v),
        ),
    ]
    found = [replace(t, offered=t.variant in asked) for t in found]
    work = _workload(exam)
    found = _first_look(found, work, 1 if options.variant else latency.FIRST)
    if options.variant is None:
        found = _mended(found, ways, bench, exam, work)
    found = [t if t.within else candidates.discard(t) for t in found]
    offered = [t for t in found if t.within and t.offered]
    if not offered:
        raise PrepareError(_none_left(options, found))
    measured = _measured(offered, work)
    chosen, why = ranking.choose(measured)
    chosen = replace(chosen, status=CHOSEN)
    renewed = {t.name: t for t in measured} | {chosen.name: chosen}
    why = "it was asked for (--variant)" if options.variant else why
    return Contest([renewed.get(t.name, t) for t in found], chosen, why, exam, work, target, note)


def _unjudged(options: Options, exam: Exam, variant: Variant) -> str | None:
    """That there is too little to judge a variant by, where it was not asked for by its precision
    or its name."""
    asked = options.variant or options.precision != AUTO
    if asked or variant.precision == FP32 or exam.questions or len(exam.samples) >= LEAST:
        return None
    return (
        f"it may lose accuracy, and {len(exam.samples)} input(s) cannot tell: give --data or"
        f" --inputs (at least {LEAST}), or ask for it with --variant {variant.name}"
    )


def _workload(exam: Exam) -> Workload:
    """Of the user's own data where it is given."""
    task, questions = exam.truth.spec.task, exam.questions
    if questions is None:
        return latency.workload(task, exam.samples)
    return latency.workload(task, as_samples(questions.items[:DRAWN], questions.judge))


def _first_look(found: Sequence[Trial], work: Workload, rounds: int) -> list[Trial]:
    """A first measure of all that may be chosen, now or mended."""
    looked = {t.name: t.folder for t in found if t.folder and (t.within or _mendable(t))}
    with stage(f"first look at speed of {len(looked)} variant(s)") as progress:
        speeds = latency.measure(looked, work, rounds if len(looked) > 1 else 1, progress)
    return [replace(t, speed=speeds.get(t.name)) for t in found]


def _mendable(trial: Trial) -> bool:
    return trial.status == REJECTED and trial.variant.precision == INT8


def _mended(
    found: Sequence[Trial], ways: VariantTable, bench: Bench, exam: Exam, work: Workload
) -> list[Trial]:
    """`found`, and mixed forms of the rejected int8 variants that are faster than all within the
    gate."""
    best = min((_mean(t.speed) for t in found if t.within and t.offered), default=float("inf"))
    faster = [t for t in found if _mendable(t) and _mean(t.speed) < best * (1 - ranking.TIE)]
    result = list(found)
    for trial in sorted(faster, key=lambda t: _mean(t.speed))[:MENDED]:
        search = Search(trial, bench, exam)
        name = f"{trial.name}-mixed"
        groups = ways.groups(bench.material)
        mixed = candidates.told(name, functools.partial(search.run, groups))
        if mixed.status != WITHIN:
            result[result.index(trial)] = mixed
            continue
        result.insert(result.index(trial) + 1, mixed)
        return _looked(result, mixed, work)
    return result


def _looked(found: Sequence[Trial], mixed: Trial, work: Workload) -> list[Trial]:
    """`found`, with `mixed` and the fastest that may be chosen measured in turns: what was measured
    in another minute, when the machine did something else, is no comparison."""
    rivals = [
        mixed,
        *sorted((t for t in found if t.within and t.speed), key=lambda t: _mean(t.speed))[:1],
    ]
    with stage(f"first look at speed: {mixed.name}") as progress:
        speeds = latency.measure({t.name: t.place for t in rivals}, work, latency.FIRST, progress)
    return [replace(t, speed=speeds.get(t.name, t.speed)) for t in found]


def _measured(offered: Sequence[Trial], work: Workload) -> list[Trial]:
    """Those that are not much slower than the fastest, measured in several rounds; the others as at
    first look."""
    fastest = min(_mean(t.speed) for t in offered)
    folders = {t.name: t.place for t in offered if _mean(t.speed) <= latency.SLOW * fastest}
    if len(folders) == 1:
        return list(offered)
    with stage(f"measure speed of {len(folders)} variant(s)") as progress:
        speeds: Mapping[str, Speed] = latency.measure(folders, work, latency.ROUNDS, progress)
    return [replace(t, speed=speeds.get(t.name, t.speed)) for t in offered]


def _mean(found: Speed | None) -> float:
    return found.mean if found else float("inf")


def _none_left(options: Options, found: Sequence[Trial]) -> str:
    asked = f"variant {options.variant}" if options.variant else f"{options.precision} variant"
    rows = [f"  {t.name}: {t.status}: {t.reason}" for t in found if t.offered]
    lines = [f"no {asked} is within the gate:", *(rows or ["  there is none of this kind"])]
    flags = (
        "--max-loss, --min-agreement or --tolerance let more pass; --precision fp32 keeps the"
        " source's accuracy"
    )
    return "\n".join([*lines, flags])

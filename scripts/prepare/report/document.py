"""report.md beside the model: what was tried, what it scored, what was chosen and why. It may show
the user's inputs, so it stays here: no package holds it, nor the picture.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.prepare.report import plot
from onnxferry.scripts.prepare.selection import latency
from onnxferry.scripts.prepare.selection.candidates import FAILED, REJECTED, SKIPPED, Trial
from onnxferry.scripts.prepare.selection.criteria import percent
from onnxferry.scripts.prepare.selection.ranking import TIE
from onnxferry.scripts.prepare.selection.select_variant import Contest

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.fusion import Fusion

REPORT_FILE, PLOT_FILE = "report.md", "report.svg"


@dataclass(frozen=True)
class Facts:
    spec: ModelSpec
    held: Contest
    fusion: Fusion


def write(facts: Facts, folder: Path) -> None:
    """report.md into `folder` and, where there is something to compare, report.svg."""
    measured = [t for t in facts.held.trials if t.speed and t.score]
    kept = (
        "of the source model's metric"
        if facts.held.exam.source
        else "of the answers are the source model's"
    )
    heads = (f"{facts.spec.name} on {_cpu(facts)}", f"% {kept}")
    if len(measured) > 1:
        plot.draw(measured, facts.held.exam.gate.max_loss, heads, folder / PLOT_FILE)
    (folder / REPORT_FILE).write_text("\n\n".join(_parts(facts, folder)) + "\n", encoding="utf-8")


def _parts(facts: Facts, folder: Path) -> Iterator[str]:
    held = facts.held
    yield f"# How {facts.spec.name} was prepared"
    yield f"**{held.chosen.name}** ({held.chosen.variant.how}) was chosen: {held.why}."
    yield from _notes(facts)
    if (folder / PLOT_FILE).is_file():
        yield f"![Accuracy against latency]({PLOT_FILE})"
    yield _markdown(columns(held), [cells(t, held) for t in held.trials if t.score])
    yield _measures(facts)
    yield "## Fused operators"
    yield _fusion(facts.fusion)
    if left := [t for t in held.trials if t.status in (REJECTED, SKIPPED, FAILED)]:
        yield "## Not taken"
        yield from (_not_taken(t) for t in left)
    if mixed := [t for t in held.trials if t.kept]:
        yield "## Mixed precision"
        yield from (
            f"{t.name}: {t.reason or t.status}. In float32: {'; '.join(t.kept)}." for t in mixed
        )


def _notes(facts: Facts) -> Iterator[str]:
    notes = (facts.held.target.mismatch, facts.held.note)
    yield from (f"> **Note:** {note}." for note in notes if note)


def _measures(facts: Facts) -> str:
    """What the columns mean."""
    held, data = facts.held, facts.spec.provenance["data"]
    cores = facts.spec.provenance["measured_on"]["cores"]
    lines = [
        f"Measured on {_cpu(facts)} with {cores} cores. The model is made for"
        f" {held.target.kind} where it is int8."
    ]
    if data:
        threshold = (
            f" A label counts as given from a score of {data['threshold']:g}."
            if "threshold" in data
            else ""
        )
        lines.append(
            f"Metrics: {data['items']:,} of {data['of']:,} items of {data['name']} (sha256"
            f" {data['sha256'][:12]}...), in points.{threshold} Loss: the largest loss of one of"
            f" {', '.join(_leading(held))}, as a share of the exported graph's, which gives the"
            f" source model's answers. The gate lets {percent(held.exam.gate.max_loss)} pass"
            " (--max-loss)."
        )
    else:
        lines.append(
            "Loss: the share of answers that are not the source model's. The gate lets "
            f"{percent(held.exam.gate.max_loss)} pass (--max-loss)."
        )
    lines.append(
        f"Agreement: the share of {len(held.exam.samples)} inputs "
        "(built in and given) whose answer is the source model's."
    )
    lines.append(
        "Speed: ms of a request with one input (the median of each of a few requests, then their"
        f" mean), and ms an input of a request with {latency.MANY} inputs, in rounds by turns. The"
        f" fastest has the least geometric mean of both; within {TIE:.0%} the smaller file is"
        f" taken, then the more exact one. Variants slower than {latency.SLOW:g} times the fastest,"
        f" and rejected ones, were measured in {latency.FIRST} rounds only, others in"
        f" {latency.ROUNDS}."
    )
    return "\n".join(f"- {line}" for line in lines)


def _leading(held: Contest) -> Sequence[str]:
    return held.exam.questions.judge.primary if held.exam.questions else ()


def _cpu(facts: Facts) -> str:
    on = facts.spec.provenance["measured_on"]
    return f"{on['model']} ({on['cpu']})" if on["cpu"] else str(on["model"])


def _fusion(fusion: Fusion) -> str:
    rows = [
        [kind, str(count), str(fusion.expected.get(kind, ""))]
        for kind, count in fusion.found.items()
    ]
    table = (
        _markdown(["operator", "fused", "expected by the architecture"], rows) if rows else "None."
    )
    return "\n\n".join([table, *(f"- {sentence}" for sentence in fusion.missing)])


def _not_taken(trial: Trial) -> str:
    lines = [f"**{trial.name}** {trial.status}: {trial.reason}."]
    if trial.status == REJECTED and trial.score and trial.score.changes:
        rows = [[c.input or c.where, c.expected, c.got] for c in trial.score.changes]
        lines.append(_markdown(["input", "source model", trial.name], rows))
    return "\n\n".join(lines)


def columns(held: Contest) -> list[str]:
    """The heads of the table of variants; metrics only where they were measured."""
    lists = ["ms an input of many"] if held.workload.many else []
    return ["variant", "", "MB", "agreement", *_metrics(held), "loss", "ms one input", *lists]


def _metrics(held: Contest) -> list[str]:
    return list(held.exam.source.figures) if held.exam.source else []


def cells(trial: Trial, held: Contest) -> list[str]:
    """A variant's row."""
    score, took = trial.score, trial.speed
    partial = bool(score and held.exam.source and score.asked < len(held.exam.source.decisions))
    row = [trial.name, trial.status + (" (partly asked)" if partial else "")]
    row.append(f"{trial.size / 1e6:.1f}" if trial.size else "")
    row.append(f"{score.difference['agreement']:.1%}" if score else "")
    row += [
        f"{score.metrics[name]:.2f}" if score and name in score.metrics else ""
        for name in _metrics(held)
    ]
    row.append(percent(max(score.loss, 0)) if score else "")
    row.append(f"{took.one:.2f}" if took else "")
    return row + ([f"{took.item:.2f}" if took and took.item else ""] if held.workload.many else [])


def table(held: Contest) -> Table:
    """The same for a terminal."""
    shown = Table(box=None, pad_edge=False)
    heads = columns(held)
    for i, name in enumerate(heads):
        shown.add_column(name, justify="right" if i > 1 else "left", no_wrap=i < 2)
    for trial in (t for t in held.trials if t.score):
        shown.add_row(*cells(trial, held), style="bold" if trial.name == held.chosen.name else None)
    return shown


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )

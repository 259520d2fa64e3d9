"""report.md beside the model: what was tried, what it scored, what was chosen and why. It may show
the user's inputs, so no package holds it, nor the plot.
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
from onnxferry.scripts.prepare.selection.candidates import (
    FAILED,
    REJECTED,
    SKIPPED,
    CandidateResult,
)
from onnxferry.scripts.prepare.selection.ranking import TIE
from onnxferry.scripts.prepare.selection.select_variant import Selection
from onnxferry.scripts.prepare.verification.formatting import percent

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.fusion import Fusion

REPORT_FILE, PLOT_FILE = "report.md", "report.svg"


@dataclass(frozen=True)
class ReportContents:
    """What the report tells of."""

    spec: ModelSpec
    selection: Selection
    fusion: Fusion

    @property
    def cpu(self) -> str:
        """The CPU that it was measured on."""
        host = self.spec.provenance["measured_on"]
        return f"{host['model']} ({host['cpu']})" if host["cpu"] else str(host["model"])

    @property
    def max_metric_drop(self) -> float:
        """The gate, as a share."""
        return self.selection.tester.criteria.max_metric_drop


def write_report(contents: ReportContents, folder: Path) -> None:
    """Write report.md into `folder` and, where there is something to compare, report.svg."""
    selection, spec = contents.selection, contents.spec
    measured = [r for r in selection.results if r.latency and r.evaluation]
    if len(measured) > 1:
        whole = spec.provenance["data"]
        of = "of the source model's metric" if whole else "of the answers are the source model's"
        titles = (f"{spec.name} on {contents.cpu}", f"% {of}")
        plot.draw(measured, contents.max_metric_drop, titles, folder / PLOT_FILE)
    text = "\n\n".join(_parts(contents, plotted=len(measured) > 1))
    (folder / REPORT_FILE).write_text(f"{text}\n", encoding="utf-8")


def _parts(contents: ReportContents, plotted: bool) -> Iterator[str]:
    selection, results = contents.selection, contents.selection.results
    chosen = selection.chosen
    yield f"# How {contents.spec.name} was prepared"
    yield f"**{chosen.name}** ({chosen.variant.how}) was chosen: {selection.why}."
    notes = (selection.cpu.mismatch, selection.note)
    yield from (f"> **Note:** {note}." for note in notes if note)
    if plotted:
        yield f"![Accuracy against latency]({PLOT_FILE})"
    yield _markdown(columns(selection), [cells(r, selection) for r in results if r.evaluation])
    yield "\n".join(f"- {line}" for line in _explained(contents))
    yield "## Fused operators"
    yield _fusion(contents.fusion)
    if left := [r for r in results if r.status in (REJECTED, SKIPPED, FAILED)]:
        yield "## Not taken"
        yield from map(_not_taken, left)
    if mixed := [r for r in results if r.kept]:
        yield "## Mixed precision"
        yield from (
            f"{r.name}: {r.reason or r.status}. In float32: {'; '.join(r.kept)}." for r in mixed
        )


def _explained(contents: ReportContents) -> Iterator[str]:
    """What the columns mean."""
    selection, cores = contents.selection, contents.spec.provenance["measured_on"]["cores"]
    kind = selection.cpu.kind
    yield f"Measured on {contents.cpu} with {cores} cores. Where it is int8, it is made for {kind}."
    gate = f"The gate lets {percent(contents.max_metric_drop)} pass (--max-metric-drop)."
    yield f"{_drop(contents)} {gate}"
    yield (
        f"Agreement: the share of {len(selection.tester.evaluator.samples)} inputs (built in and"
        " given) whose answer is the source model's."
    )
    yield (
        "Latency: ms of a request with one input (the median of each of a few requests, then their"
        f" mean), and ms an input of a request with {latency.MANY} inputs, in rounds by turns. The"
        f" fastest has the least geometric mean of both; within {TIE:.0%} the smaller file is"
        f" taken, then the more exact one. Variants slower than {latency.SLOW:g} times the fastest,"
        f" and rejected ones, were measured in {latency.FIRST} rounds only, others in"
        f" {latency.ROUNDS}."
    )


def _drop(contents: ReportContents) -> str:
    data, eval_set = contents.spec.provenance["data"], contents.selection.tester.evaluator.eval_set
    if eval_set is None:
        return "Drop: the share of answers that are not the source model's."
    threshold = ""
    if "threshold" in data:
        threshold = f" A label counts as given from a score of {data['threshold']:g}."
    return (
        f"Metrics: {data['items']:,} of {data['of']:,} items of {data['name']} (sha256"
        f" {data['sha256'][:12]}...), in points.{threshold} Drop: the largest drop of one of"
        f" {', '.join(eval_set.metric.primary)}, as a share of the exported graph's, which gives"
        " the source model's answers."
    )


def _fusion(fusion: Fusion) -> str:
    rows = [[k, str(count), str(fusion.expected.get(k, ""))] for k, count in fusion.found.items()]
    heads = ["operator", "fused", "expected by the architecture"]
    table = _markdown(heads, rows) if rows else "None."
    return "\n\n".join([table, *(f"- {sentence}" for sentence in fusion.missing)])


def _not_taken(result: CandidateResult) -> str:
    lines = [f"**{result.name}** {result.status}: {result.reason}."]
    if result.status == REJECTED and result.evaluation and result.evaluation.changes:
        rows = [[c.input or c.where, c.expected, c.got] for c in result.evaluation.changes]
        lines.append(_markdown(["input", "source model", result.name], rows))
    return "\n\n".join(lines)


def columns(selection: Selection) -> list[str]:
    """The heads of the table of variants; metrics only where they were measured."""
    lists = ["ms an input of many"] if selection.requests.many else []
    metrics = _metrics(selection)
    return ["variant", "", "MB", "agreement", *metrics, "drop", "ms one input", *lists]


def _metrics(selection: Selection) -> list[str]:
    answers = selection.tester.evaluator.answers
    return list(answers.metrics) if answers else []


def cells(result: CandidateResult, selection: Selection) -> list[str]:
    """A variant's row."""
    found, took = result.evaluation, result.latency
    partial = found is not None and selection.tester.evaluator.partial(found)
    metrics = found.metrics if found else {}
    row = [
        result.name,
        result.status + (" (partly asked)" if partial else ""),
        f"{result.size / 1e6:.1f}" if result.size else "",
        f"{found.difference['agreement']:.1%}" if found else "",
        *(f"{metrics[name]:.2f}" if name in metrics else "" for name in _metrics(selection)),
        percent(max(found.drop, 0)) if found else "",
        f"{took.one:.2f}" if took else "",
    ]
    if selection.requests.many:
        row.append(f"{took.item:.2f}" if took and took.item else "")
    return row


def console_table(selection: Selection) -> Table:
    """The table of variants for a terminal."""
    table = Table(box=None, pad_edge=False)
    for i, name in enumerate(columns(selection)):
        table.add_column(name, justify="right" if i > 1 else "left", no_wrap=i < 2)
    for result in (r for r in selection.results if r.evaluation):
        chosen = result.name == selection.chosen.name
        table.add_row(*cells(result, selection), style="bold" if chosen else None)
    return table


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)

"""report.md: what was tried, what it scored, what was chosen and why. It may show the user's
inputs, so no package holds it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.prepare.options import ANY
from onnxferry.scripts.prepare.report import plot
from onnxferry.scripts.prepare.selection import candidates, elimination
from onnxferry.scripts.prepare.selection.candidates import CandidateResult
from onnxferry.scripts.prepare.selection.ranking import TIE
from onnxferry.scripts.prepare.selection.select_variant import Selection
from onnxferry.scripts.prepare.verification.formatting import percent

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.fusion import Fusion

REPORT_FILE, PLOT_FILE = "report.md", "report.svg"
NOT_TAKEN = (candidates.REJECTED, candidates.SKIPPED, candidates.FAILED)


def write_report(spec: ModelSpec, selection: Selection, fusion: Fusion, folder: Path) -> None:
    """Write report.md into `folder`, and report.svg where several were measured."""
    measured = [r for r in selection.results if r.latency and r.evaluation]
    plotted = len(measured) > 1
    if plotted:
        whole = spec.provenance["data"]
        of = "of the source model's metric" if whole else "of the answers are the source model's"
        titles = (f"{spec.name} on {_cpu(spec)}", f"% {of}")
        drop = selection.tester.criteria.max_metric_drop
        plot.draw(measured, drop, titles, folder / PLOT_FILE)
    text = "\n\n".join(_parts(spec, selection, fusion, plotted))
    (folder / REPORT_FILE).write_text(f"{text}\n", encoding="utf-8")


def _parts(spec: ModelSpec, selection: Selection, fusion: Fusion, plotted: bool) -> Iterator[str]:
    results, chosen = selection.results, selection.chosen
    yield f"# How {spec.name} was prepared"
    yield f"**{chosen.name}** ({chosen.variant.how}) was chosen: {selection.why}."
    notes = (selection.cpu.mismatch, selection.note)
    yield from (f"> **Note:** {note}." for note in notes if note)
    if plotted:
        yield f"![Accuracy against latency]({PLOT_FILE})"
    yield _markdown(
        _columns(selection), [_cells(r, selection) for r in results if r.evaluation or r.latency]
    )
    yield "\n".join(f"- {line}" for line in _explained(spec, selection))
    yield "## Fused operators"
    yield _fusion(fusion)
    if left := [r for r in results if r.status in NOT_TAKEN]:
        yield "## Not taken"
        yield from map(_not_taken, left)
    if mixed := [r for r in results if r.kept]:
        yield "## Mixed precision"
        for r in mixed:
            yield f"{r.name}: {r.reason or r.status}. In float32: {'; '.join(r.kept)}."


def _cpu(spec: ModelSpec) -> str:
    host = spec.provenance["measured_on"]
    return f"{host['model']} ({host['cpu']})" if host["cpu"] else str(host["model"])


def _explained(spec: ModelSpec, selection: Selection) -> Iterator[str]:
    measured = f"Measured on {_cpu(spec)} with {spec.provenance['measured_on']['cores']} cores."
    yield f"{measured} Where it is int8, it is made for {_made_for(selection.cpu.kind)}."
    limit = percent(selection.tester.criteria.max_metric_drop)
    yield f"{_drop(spec, selection)} The gate lets {limit} pass (--max-metric-drop)."
    inputs = f"{len(selection.tester.evaluator.samples)} inputs (built in and given)"
    yield f"Agreement: the share of {inputs} whose answer is the source model's."
    one = "ms of a request with one input (the median of each of a few requests, then their mean)"
    size = selection.requests.size
    many = f", and ms an input of a request with {size} inputs" if size else ""
    ties = f"within {TIE:.0%} the smaller file is taken, then the more exact one"
    margins = ", ".join(f"{margin:g}" for margin in elimination.MARGINS)
    best = f"The fastest has the least geometric mean; {ties}."
    after = f"After 1 to {len(elimination.MARGINS)} rounds, those beyond {margins}"
    gone = f"{after} times the fastest were measured no more."
    yield f"Latency: {one}{many}, in rounds by turns. {best} {gone}"


def _made_for(kind: str) -> str:
    return "any kind of CPU, on all of which its integer sums are exact" if kind == ANY else kind


def _drop(spec: ModelSpec, selection: Selection) -> str:
    data, eval_set = spec.provenance["data"], selection.tester.evaluator.eval_set
    if eval_set is None:
        return "Drop: the share of answers that are not the source model's."
    items = f"{data['items']:,} of {data['of']:,} items of {data['name']}"
    metrics = f"Metrics: {items} (sha256 {data['sha256'][:12]}...), in points."
    if "threshold" in data:
        metrics += f" A label counts as given from a score of {data['threshold']:g}."
    primary = ", ".join(eval_set.metric.primary)
    drop = f"Drop: the largest loss of one of {primary}, as a share of the source model's."
    return f"{metrics} {drop}"


def _fusion(fusion: Fusion) -> str:
    rows = [[k, str(count), str(fusion.expected.get(k, ""))] for k, count in fusion.found.items()]
    heads = ["operator", "fused", "expected by the architecture"]
    table = _markdown(heads, rows) if rows else "None."
    return "\n\n".join(
        [table, *(f"- {sentence}" for sentence in (*fusion.single, *fusion.missing))]
    )


def _not_taken(result: CandidateResult) -> str:
    text = f"**{result.name}** {result.status}: {result.reason}."
    found = result.evaluation
    if result.status != candidates.REJECTED or not found or not found.changes:
        return text
    rows = [[c.input or c.where, c.expected, c.got] for c in found.changes]
    return f"{text}\n\n{_markdown(['input', 'source model', result.name], rows)}"


def _columns(selection: Selection) -> list[str]:
    lists = ["ms an input of many"] if selection.requests.many else []
    metrics = _metrics(selection)
    return ["variant", "", "MB", "agreement", *metrics, "drop", "ms one input", *lists]


def _metrics(selection: Selection) -> list[str]:
    answers = selection.tester.evaluator.answers
    return list(answers.metrics) if answers else []


def _cells(result: CandidateResult, selection: Selection) -> list[str]:
    found, took = result.evaluation, result.latency
    answers = selection.tester.evaluator.answers
    partial = found and answers and found.asked < len(answers.decisions)
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
    for i, name in enumerate(_columns(selection)):
        table.add_column(name, justify="right" if i > 1 else "left", no_wrap=i < 2)
    for result in (r for r in selection.results if r.evaluation or r.latency):
        chosen = result.name == selection.chosen.name
        table.add_row(*_cells(result, selection), style="bold" if chosen else None)
    return table


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    escaped = ([cell.replace("|", "\\|") for cell in line] for line in lines)
    return "\n".join(f"| {' | '.join(line)} |" for line in escaped)

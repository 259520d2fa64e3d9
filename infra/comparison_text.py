"""A comparison as people read it: a table, and a line for each answer that differs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import click
from rich.table import Table

from onnxferry.infra.comparison import ComparisonReport, DifferingAnswer, VersionSummary
from onnxferry.infra.request_metrics import RequestMetrics
from onnxferry.system.console import out

_LISTED = 10  # answers that differ, of more only how many


def show(found: ComparisonReport, output: str) -> None:
    """Print a report, as text or JSON."""
    if output == "json":
        click.echo(found.to_json(), nl=False)
        return
    out.print(_versions(found))
    for line in _lines(found):
        click.echo(line)


def _versions(found: ComparisonReport) -> Table:
    table = Table(title=f"since {found.since}")
    for heading in ("", "live", "shadow"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, live, shadow in _rows(found.serving, found.shadow):
        table.add_row(name, live, shadow)
    return table


def _rows(*both: VersionSummary) -> Iterator[tuple[str, ...]]:
    yield "version", *(one.version for one in both)
    yield "name", *(one.name for one in both)
    yield "captured answers that were read", *(str(one.captured) for one in both)
    yield "errors among those compared", *(str(one.errors) for one in both)
    for name, told in _METRICS.items():
        yield name, *(told(one.metrics) if one.metrics else "?" for one in both)


def _ms(value: float | None) -> str:
    return "?" if value is None else f"{value:.1f} ms"


_METRICS: Mapping[str, Callable[[RequestMetrics], str]] = {
    "requests": lambda m: str(m.requests),
    "4xx": lambda m: str(m.refused),
    "5xx": lambda m: str(m.failed),
    "model latency p50": lambda m: _ms(m.p50_ms),
    "model latency p95": lambda m: _ms(m.p95_ms),
}


def _lines(found: ComparisonReport) -> Iterator[str]:
    if found.pairs:
        yield f"Compared: {found.pairs} requests that both answered."
        within = f"the same within {found.tolerance:g}"
        part = f"({found.same / found.pairs:.1%})"
        yield f"{found.same} of {found.pairs} answers are {within} {part}."
    if found.pairs and found.agree is None:
        yield "Whether answers agree is not known without the model's task: give --model."
    elif found.pairs:
        yield f"{found.agree} of {found.pairs} agree by {found.task} ({found.agreement:.1%})."
    if found.slower is not None:
        yield f"The shadow's p95 latency is {found.slower:.2f} times the live one."
    for one in found.differing[:_LISTED]:
        yield from _differing(one)
    if (more := len(found.differing) - _LISTED) > 0:
        yield f"... and {more} more (--output json has them all)"
    yield from found.notes


def _differing(one: DifferingAnswer) -> Iterator[str]:
    agree = {True: ", agrees", False: ", does not agree", None: ""}[one.agree]
    yield f"Differs: {one.id} ({one.time}): {one.place}{agree}"
    if one.served or one.shadowed:
        yield f"  request: {one.request}"
        yield f"  live:    {one.served}"
        yield f"  shadow:  {one.shadowed}"

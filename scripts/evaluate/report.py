"""An evaluation as a table, and as a section of docs/quality.md."""

from __future__ import annotations

from collections.abc import Iterator

from rich.table import Table

from onnxferry.scripts import sections, tables
from onnxferry.scripts.evaluate.evaluation import Evaluation

COLUMNS = ("metric", "served core", "transformers pipeline", "difference in points")


def table(found: Evaluation) -> Table:
    """For the terminal."""
    return tables.terminal(title(found), COLUMNS, _rows(found))


def title(found: Evaluation) -> str:
    """The name of the document's section."""
    return f"{found.model} on {found.data}"


def markdown(found: Evaluation, command: str) -> str:
    """The section of a document."""
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    labels = "" if found.threshold is None else f", labels from a score of {found.threshold:g}"
    items = f"{found.items:,} items (sha256 of the file {found.sha256[:12]}...)"
    host = f" on {found.cpu}" if found.cpu else ""
    what = f"{items}, {found.task}, {found.precision}{host}{labels}; {versions}."
    figures = tables.markdown(COLUMNS, _rows(found))
    return sections.section(title(found), command, what, figures, *agreement(found))


def agreement(found: Evaluation) -> Iterator[str]:
    """A sentence about equal answers, where there was a source model to compare with."""
    if both := found.agreement:
        same = f"{both.same:,} of {found.items:,} answers are the pipeline's"
        others = f", in the others by at most {both.apart:.1e}" if both.same < found.items else ""
        most = f"a score differs by at most {both.largest:.1e}{others}"
        yield f"{same} ({both.same / found.items:.2%}); {most}."


def _rows(found: Evaluation) -> list[list[str]]:
    rows = []
    for name, value in found.figures.items():
        theirs = ("", "")
        if value.transformers is not None:
            theirs = (f"{value.transformers:.3f}", f"{value.difference:+.3f}")
        rows.append([name, f"{value.core:.3f}", *theirs])
    return rows

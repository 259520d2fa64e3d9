"""An evaluation as a table, as JSON data, and as a section of docs/quality.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from onnxferry.scripts import tables
from onnxferry.scripts.evaluate.evaluation import Evaluation

COLUMNS = ("metric", "served core", "transformers pipeline", "difference in points")


def table(found: Evaluation) -> Table:
    """For the terminal."""
    return tables.terminal(title(found), COLUMNS, _rows(found))


def data(found: Evaluation) -> dict[str, Any]:
    """What --output json prints."""
    figures = {
        name: {"core": value.core, "transformers": value.reference, "difference": value.difference}
        for name, value in found.figures.items()
    }
    return {**asdict(found), "figures": figures}


def title(found: Evaluation) -> str:
    """The name of the document's section."""
    return f"{found.model} on {found.data}"


def markdown(found: Evaluation, command: str) -> str:
    """The section of a document: the command, what was asked of what, and the metrics."""
    parts = [f"## {title(found)}", f"```\n{command}\n```", _described(found)]
    return "\n\n".join([*parts, tables.markdown(COLUMNS, _rows(found)), *agreement(found)])


def _described(found: Evaluation) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in found.versions.items())
    labels = "" if found.threshold is None else f", labels from a score of {found.threshold:g}"
    return (
        f"{found.items:,} items (sha256 of the file {found.sha256[:12]}...),"
        f" {found.task}, {found.precision}{labels}; {versions}."
    )


def agreement(found: Evaluation) -> Iterator[str]:
    """A sentence about equal answers, where there was a source model to compare with."""
    if both := found.agreement:
        share = f"({both.same / found.items:.2%})"
        others = f", in the others by at most {both.apart:.1e}" if both.same < found.items else ""
        yield (
            f"{both.same:,} of {found.items:,} answers are the pipeline's {share}; a score differs"
            f" by at most {both.largest:.1e}{others}."
        )


def _rows(found: Evaluation) -> list[list[str]]:
    return [
        [name, f"{v.core:.3f}", _or_empty(v.reference, ".3f"), _or_empty(v.difference, "+.3f")]
        for name, v in found.figures.items()
    ]


def _or_empty(value: float | None, form: str) -> str:
    return "" if value is None else format(value, form)

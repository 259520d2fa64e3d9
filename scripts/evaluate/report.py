"""An evaluation as a table for the eye, as data for scripts, and as a section of
docs/quality.md."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from rich.table import Table

from onnxferry.scripts.evaluate.evaluation import Evaluation, Figure

COLUMNS = ("metric", "served core", "transformers pipeline", "difference in points")


def table(evaluation: Evaluation) -> Table:
    shown = Table(title=title(evaluation), title_justify="left")
    for i, name in enumerate(COLUMNS):
        shown.add_column(name, justify="right" if i else "left")
    for row in _rows(evaluation):
        shown.add_row(*row)
    return shown


def data(evaluation: Evaluation) -> dict[str, Any]:
    """What --output json prints."""
    figures = {
        name: {"core": f.core, "transformers": f.reference, "difference": f.difference}
        for name, f in evaluation.figures.items()
    }
    return {**asdict(evaluation), "figures": figures}


def title(evaluation: Evaluation) -> str:
    return f"{evaluation.model} on {evaluation.data}"


def markdown(evaluation: Evaluation, command: str) -> str:
    """The section of a document: the command, what was asked of what, and the figures."""
    lines = ["| " + " | ".join(COLUMNS) + " |", "| --- | ---: | ---: | ---: |"]
    lines += ["| " + " | ".join(row) + " |" for row in _rows(evaluation)]
    parts = [f"## {title(evaluation)}", f"```\n{command}\n```", _what(evaluation), "\n".join(lines)]
    return "\n\n".join([*parts, *agreement(evaluation)])


def _what(evaluation: Evaluation) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in evaluation.versions.items())
    threshold = (
        "" if evaluation.threshold is None else f", labels from a score of {evaluation.threshold:g}"
    )
    return (
        f"{evaluation.items:,} items (sha256 of the file {evaluation.sha256[:12]}...),"
        f" {evaluation.task}, {evaluation.precision}{threshold}; {versions}."
    )


def agreement(evaluation: Evaluation) -> Iterator[str]:
    if found := evaluation.agreement:
        share = (
            f"{found.same:,} of {evaluation.items:,} answers are the pipeline's"
            f" ({found.same / evaluation.items:.2%})"
        )
        others = (
            f", in the others by at most {found.apart:.1e}" if found.same < evaluation.items else ""
        )
        yield f"{share}; a score differs by at most {found.largest:.1e}{others}."


def _rows(evaluation: Evaluation) -> list[tuple[str, str, str, str]]:
    return [(name, *_cells(figure)) for name, figure in evaluation.figures.items()]


def _cells(figure: Figure) -> tuple[str, str, str]:
    if figure.reference is None or figure.difference is None:
        return f"{figure.core:.3f}", "", ""
    return f"{figure.core:.3f}", f"{figure.reference:.3f}", f"{figure.difference:+.3f}"

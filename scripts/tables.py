"""One table of texts in two forms: for the terminal, and for a Markdown document."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

Rows = Sequence[Sequence[str]]


def terminal(title: str, columns: Sequence[str], rows: Rows) -> Table:
    """A rich table; its first column is aligned left, the others right."""
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(column, justify="right" if i else "left", overflow="fold")
    for row in rows:
        table.add_row(*row)
    return table


def markdown(columns: Sequence[str], rows: Rows) -> str:
    """The same as Markdown."""
    rule = ["---", *["---:"] * (len(columns) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (columns, rule, *rows))

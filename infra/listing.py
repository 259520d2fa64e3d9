"""What `list` prints: all that onnxferry made, grouped by endpoint."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

import click
from rich.markup import escape
from rich.table import Table

from onnxferry.infra.cloud import Listed
from onnxferry.infra.costs import cost
from onnxferry.system.console import out

_COLUMNS = ("endpoint", "kind", "name", "version", "state", "deployed", "place", "costs")


def show(found: Sequence[Listed], target: str, output: str) -> None:
    """Print `found` on standard output, as a table or as JSON, and the instance-hours a day."""
    ordered = sorted(found, key=lambda one: (one.endpoint, one.place, one.kind, one.name))
    hours = sum(one.instance_hours or 0 for one in ordered)
    if output == "json":
        resources = [{**asdict(one), "costs": cost(target, one.kind)} for one in ordered]
        listed = {"target": target, "instance_hours_a_day": hours, "resources": resources}
        click.echo(json.dumps(listed, indent=2))
        return
    out.print(_table(ordered, target))
    out.print(f"{hours:g} instance-hours a day.")


def _table(found: Sequence[Listed], target: str) -> Table:
    table = Table(title=f"Made by onnxferry on {target}", title_justify="left")
    for column in _COLUMNS:
        table.add_column(column, overflow="fold")
    for one in found:
        facts = [one.endpoint, one.kind, one.name, one.version, one.state, one.deployed, one.place]
        table.add_row(*(escape(fact or "-") for fact in facts), _costs(one, target))
    return table


def _costs(one: Listed, target: str) -> str:
    hours = f", {one.instance_hours:g} instance-hours a day" if one.instance_hours else ""
    return (cost(target, one.kind) or "nothing") + hours

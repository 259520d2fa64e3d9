"""What people read: a plan in sentences, a status as a table, and a line for each step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol

from rich.markup import escape
from rich.table import Table

from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.system import console
from onnxferry.system.console import Progress

if TYPE_CHECKING:
    from onnxferry.infra.cloud import EndpointStatus


class Report(Protocol):
    """Who is told what `apply` does."""

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        """A step that runs as long as the block; the block says by Progress what it is at."""

    def reused(self, title: str) -> None:
        """A step that has nothing to do."""

    def note(self, text: str) -> None:
        """What the reader must know beside the steps."""


class ConsoleReport:
    """A line a step on standard error."""

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        """A spinner, then 'ok TITLE 1.2 s'."""
        return console.stage(title)

    def reused(self, title: str) -> None:
        """'-- TITLE'."""
        console.err.print(f"[dim]--[/dim] {escape(title)}")

    def note(self, text: str) -> None:
        """The text as it is."""
        console.err.print(escape(text))


CONSOLE = ConsoleReport()

_HEADINGS = {
    Action.CREATE: "Creates",
    Action.UPDATE: "Changes",
    Action.DELETE: "Deletes",
    Action.CHECK: "Checks",
    Action.REUSE: "Uses what is there",
}
_VERBS = {"deploy": "Deploy", "roll back": "Roll back", "delete": "Delete"}


def plan_text(plan: Plan) -> str:
    """What `plan` does, in sentences."""
    return "\n".join(_sentences(plan))


def _sentences(plan: Plan) -> Iterator[str]:
    summary = plan.summary
    where = f"{plan.target} ({summary.place})" if summary.place else plan.target
    if not plan.changes:
        yield f"{_VERBS[plan.purpose]} {plan.name} on {where}: nothing to do."
        return
    yield f"{_VERBS[plan.purpose]} {plan.name} on {where}."
    if summary.version:
        yield _serves(summary)
    for action, heading in _HEADINGS.items():
        if names := [_named(step) for step in plan.steps if step.action is action]:
            yield f"{heading}: {', '.join(dict.fromkeys(names))}."
    if summary.minutes:
        yield "It usually takes {} to {} minutes.".format(*summary.minutes)


def _serves(summary: Summary) -> str:
    on = f" on {summary.instances}" if summary.instances else ""
    if not summary.replaces:
        return f"Version {summary.version} will serve{on}."
    if summary.replaces == summary.version:
        return f"Version {summary.version} goes on serving{on}."
    return f"Version {summary.version} will serve{on}, and replaces {summary.replaces}."


def _named(step: Step) -> str:
    return f"{step.resource} {step.name}"


def plan_table(plan: Plan) -> Table:
    """A line a step, with its parameters."""
    count = len(plan.changes)
    title = f"{plan.purpose} {plan.name} on {plan.target}: {count or 'no'} change"
    table = Table(title=title + ("" if count == 1 else "s"), title_justify="left")
    for heading in ("action", "resource", "name", "with"):
        table.add_column(heading, overflow="fold")
    for step in plan.steps:
        cells = step.name, _short(step.parameters)
        table.add_row(step.action.value, step.resource, *map(escape, cells))
    return table


def _short(parameters: Mapping[str, Any], limit: int = 200) -> str:
    text = ", ".join(f"{k}={json.dumps(v, ensure_ascii=False)}" for k, v in parameters.items())
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."


def status_table(status: EndpointStatus) -> Table:
    """A line a fact, then a line a resource."""
    title = f"{status.name} on {status.target}: {status.state}"
    table = Table(title=title, title_justify="left", show_header=False)
    facts = {"url": status.url, "version": status.version, "previous": status.previous}
    for key, value in {**facts, **status.details}.items():
        table.add_row(key, escape(str(value or "-")))
    table.add_section()
    for kind, name, state in status.resources:
        table.add_row(kind, escape(f"{name} ({state})"))
    return table

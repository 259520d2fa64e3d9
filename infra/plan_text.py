"""What people read: a plan in sentences, a status as a table, and a line for each step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

from rich.markup import escape
from rich.table import Table

from onnxferry.infra.costs import with_cost
from onnxferry.infra.plan import Action, Plan, Summary
from onnxferry.system import console
from onnxferry.system.console import Progress

if TYPE_CHECKING:
    from onnxferry.infra.cloud import EndpointStatus


class Report:
    """What is told of the steps while they run: a line each on standard error."""

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        """The step that the block runs, which says by Progress what it is at."""
        return console.stage(title)

    def note(self, text: str) -> None:
        """What is said between the steps."""
        console.err.print(escape(text))


_SHOWN = 400  # characters of a change's parameters
_HEADINGS = {
    Action.REUSE: "Uses what is there",
    Action.CREATE: "Creates",
    Action.UPDATE: "Changes",
    Action.DELETE: "Deletes",
    Action.CHECK: "Checks",
}


def plan_text(plan: Plan) -> str:
    """What `plan` does, in sentences, with all that is touched."""
    cost = plan.summary.cost
    return "\n".join([*_sentences(plan), *(cost.text() if cost else ())])


def differences(plan: Plan) -> list[str]:
    """What `plan` would change, with what it would be set to: a line a change, cut to its start."""
    updates = (step for step in plan.changes if step.action is Action.UPDATE)
    set_to = ((step, json.dumps(step.parameters, ensure_ascii=False)) for step in updates)
    return [f"Differs: {step.resource} {step.name}: {text:.{_SHOWN}}" for step, text in set_to]


def _sentences(plan: Plan) -> Iterator[str]:
    summary = plan.summary
    where = f"{plan.target} ({summary.place})" if summary.place else plan.target
    start = f"{plan.purpose.capitalize()} {plan.name} on {where}"
    yield f"{start}: nothing to do." if not plan.changes else f"{start}."
    if summary.version:
        yield _serves(summary)
    if not plan.changes:
        yield from summary.notes
        return
    named = {action: _named(plan, action) for action in _HEADINGS}
    passing = [key for key in named[Action.CREATE] if key in named[Action.DELETE]]
    for action, heading in _HEADINGS.items():
        keys = [key for key in named[action] if action is Action.CHECK or key not in passing]
        costs = action is Action.CREATE
        yield from _listed(heading, [_shown(plan, key, costs=costs) for key in keys])
    briefly = [_shown(plan, key, costs=True) for key in passing]
    yield from _listed("For the time of the change only", briefly)
    yield from _quota(summary)
    if summary.minutes:
        yield "It usually takes {} to {} minutes.".format(*summary.minutes)


def _quota(summary: Summary) -> Iterator[str]:
    if summary.peak:
        yield f"At most {summary.peak.removeprefix('at most ')} run at a time meanwhile."
    if summary.shortage:
        yield f"The quota does not suffice: {summary.shortage}"
    if summary.blocked:
        yield f"Not to be done now: {summary.blocked}"
    yield from summary.notes


def _listed(heading: str, names: list[str]) -> Iterator[str]:
    if len(names) == 1:
        yield f"{heading}: {names[0]}."
    elif names:
        yield f"{heading}:"
        yield from (f"  {name}" for name in names)


def _named(plan: Plan, action: Action) -> list[tuple[str, str]]:
    keys = ((step.resource, step.name) for step in plan.steps if step.action is action)
    return list(dict.fromkeys(keys))


def _shown(plan: Plan, key: tuple[str, str], *, costs: bool) -> str:
    if costs and (own := plan.summary.costs.get(key[0])):
        return f"{' '.join(key)} ({own})"
    return with_cost(plan.target, *key) if costs else " ".join(key)


def _serves(summary: Summary) -> str:
    on = f" on {summary.instances}" if summary.instances else ""
    if summary.replaces == summary.version:
        return f"Version {summary.version} goes on serving{on}."
    instead = f", and replaces {summary.replaces}" if summary.replaces else ""
    return f"Version {summary.version} will serve{on}{instead}."


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

"""What people read: a plan in sentences, a status as a table, and a line for each step."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

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


_SHOWN = 30  # settings of a change
_WIDE = 200  # characters of one
_GUARD = "seen"  # what a step must find there, which is no setting
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


def differences(plan: Plan) -> Iterator[str]:
    """What `plan` would change, and below each what it would be set to, a line a setting."""
    for step in plan.changes:
        if step.action is Action.UPDATE:
            yield f"Differs: {step.resource} {step.name}, which would be set to"
            shown = {key: value for key, value in step.parameters.items() if key != _GUARD}
            settings = list(_settings(shown))
            yield from (f"  {line}" for line in settings[:_SHOWN])
            if more := len(settings[_SHOWN:]):
                yield f"  and {more} more: --output json"


def _settings(given: Any, place: str = "") -> Iterator[str]:
    """The settings in JSON data, each with its place: "tags.team = ml"."""
    if given and isinstance(given, Mapping):
        for key, value in given.items():
            yield from _settings(value, f"{place}.{key}" if place else str(key))
    elif isinstance(given, list | tuple) and any(isinstance(x, Mapping | list) for x in given):
        for i, value in enumerate(given):
            yield from _settings(value, f"{place}[{i}]")
    else:
        text = given if isinstance(given, str) else json.dumps(given, ensure_ascii=False)
        yield f"{place} = {_clipped(text)}"


def _clipped(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= _WIDE else f"{flat[:_WIDE]} ..."


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


def costly(plan: Plan, key: tuple[str, str]) -> str:
    """A resource of `plan` with its cost, which may be another one than elsewhere."""
    own = plan.summary.costs.get(key[0])
    if own is None:
        return with_cost(plan.target, *key)
    return f"{' '.join(key)} ({own})" if own else " ".join(key)


def _shown(plan: Plan, key: tuple[str, str], *, costs: bool) -> str:
    return costly(plan, key) if costs else " ".join(key)


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

"""A plan: what a deployment, a roll-back or a deletion will do, as frozen data. `apply` executes
just that.

    plan = cloud.plan_deploy(bundle)                     # only reads
    print(plan.to_json())                                # what `plan` shows is the very object that
    `apply` executes
    apply(plan, cloud.operations(bundle))

A step that is done survives an interruption: a new plan reads the cloud, finds it and says "reuse".
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

from rich.markup import escape
from rich.table import Table

from onnxferry.infra.errors import CloudError
from onnxferry.system.console import Progress, err, stage
from onnxferry.system.errors import FerryError


class Action(str, Enum):
    """What a step does to its resource. `reuse` does nothing; `check` waits or asks, and changes
    nothing."""

    CREATE = "create"
    UPDATE = "update"
    REUSE = "reuse"
    CHECK = "check"
    DELETE = "delete"


@dataclass(frozen=True)
class Step:
    """One step. `operation` is the name under which the cloud's operations hold what executes it
    ("" for reuse); `parameters` is JSON data without secrets. `restore` puts back what served
    before this step; it runs when this step or a later one of the plan fails, up to a step that
    `settles`: once that is done, what serves is proved and stays, and a failure while tidying takes
    nothing back."""

    action: Action
    resource: str
    name: str
    operation: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    restore: Step | None = None
    settles: bool = False

    def __str__(self) -> str:
        return f"{self.action.value} {self.resource} {self.name}"


def unless(
    there: bool, resource: str, name: str, operation: str, parameters: Mapping[str, Any]
) -> Step:
    """Create the resource, unless it is there: then it is used again."""
    return (
        Step(Action.REUSE, resource, name)
        if there
        else Step(Action.CREATE, resource, name, operation, parameters)
    )


@dataclass(frozen=True)
class Plan:
    """The steps of one `purpose` ("deploy", "roll back", "delete") for the endpoint `name`, in
    order."""

    target: str
    purpose: str
    name: str
    steps: tuple[Step, ...]

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(s for s in self.steps if s.action not in (Action.REUSE, Action.CHECK))

    def to_json(self) -> str:
        """The plan as JSON text."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"

    def table(self) -> Table:
        """The plan for a reader: a line a step."""
        title = (
            f"{self.purpose} {self.name} on {self.target}: {_count(len(self.changes), 'change')}"
        )
        table = Table(title=title, title_justify="left")
        for heading in ("action", "resource", "name", "with"):
            table.add_column(heading, overflow="fold")
        for step in self.steps:
            table.add_row(
                step.action.value, step.resource, escape(step.name), escape(_short(step.parameters))
            )
        return table


Operation = Callable[[Step, Progress], None]
Report = Callable[[str], AbstractContextManager[Progress]]


class Interrupted(CloudError):
    """Ctrl-C during apply: which steps are done, which one was under way, and how to go on."""

    exit_code = 130


def apply(plan: Plan, operations: Mapping[str, Operation], report: Report = stage) -> None:
    """Execute the steps of `plan`, one visible line and its duration each.

    When a step fails, the restores of all steps that were begun and not settled run, last first,
    and the error says so. Raises CloudError as the step did, or Interrupted after Ctrl-C; then
    nothing is restored, since the step may well complete in the cloud: a new run takes up where
    this one was.
    """
    done: list[Step] = []
    unproved: list[Step] = []
    for step in plan.steps:
        try:
            _execute(step, operations, report)
        except (KeyboardInterrupt, SystemExit) as e:  # Ctrl-C; a signal (onnxferry/system/exits.py)
            raise Interrupted(_left(plan, step, done)) from e
        except Exception as e:  # a defect, too, must not leave what is unproved serving
            _fail(e, _restore((*unproved, step), operations, report))
            raise
        done.append(step)
        unproved = [] if step.settles else [*unproved, step]


def _execute(step: Step, operations: Mapping[str, Operation], report: Report) -> None:
    if step.action is Action.REUSE:
        err.print(f"[dim]--[/dim] {escape(str(step))}")
        return
    with report(str(step)) as progress:
        operations[step.operation](step, progress)


def _restore(begun: tuple[Step, ...], operations: Mapping[str, Operation], report: Report) -> str:
    """Run the restores of `begun`, last first; what came of it, in words ("" if there is nothing to
    restore)."""
    restores = [step.restore for step in reversed(begun) if step.restore]
    try:
        for restore in restores:
            _execute(restore, operations, report)
    except (KeyboardInterrupt, SystemExit) as e:
        raise Interrupted(
            "interrupted while the earlier version was put back, which may still complete in the"
            " cloud. See what serves with deploy.py status, and go back with deploy.py rollback"
        ) from e
    except Exception as e:
        return f"Putting the earlier version back failed too: {e}\nRun: deploy.py rollback"
    return (
        f"The earlier version serves again ({'; '.join(map(str, restores))})." if restores else ""
    )


def _fail(e: Exception, restored: str) -> None:
    """Say what came of the restores: in the error, or on standard error where it is a defect."""
    if restored and isinstance(e, FerryError):
        raise type(e)(f"{e}\n{restored}") from e
    if restored:
        err.print(escape(restored))


def _left(plan: Plan, step: Step, done: list[Step]) -> str:
    made = [str(s) for s in done if s in plan.changes]
    return (
        f"interrupted at: {step}. It may still complete in the cloud.\nDone before it:"
        f" {'; '.join(made) or 'no change'}.\nTo go on, run the same command again: it reuses what"
        f" is there. To remove it all: deploy.py delete --target {plan.target} --name {plan.name}"
    )


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'' if number == 1 else 's'}"


def _short(parameters: Mapping[str, Any], limit: int = 200) -> str:
    text = ", ".join(
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in parameters.items()
    )
    return text if len(text) <= limit else f"{text[: limit - 4]} ..."

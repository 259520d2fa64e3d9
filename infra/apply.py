"""Execute a plan, one visible line a step; put back what served when a step fails.

A step that is done survives an interruption: a new plan reads the cloud, finds it and says "reuse".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.infra.report import CONSOLE, Report
from onnxferry.system.console import Progress
from onnxferry.system.errors import FerryError
from onnxferry.system.exits import program


class Executor(Protocol):
    """What executes steps: a cloud."""

    @property
    def operations(self) -> Collection[str]:
        """The operations that `execute` knows."""

    def execute(self, step: Step, progress: Progress) -> None:
        """Do what `step.parameters` say, and no harm where it was done already. Raises
        CloudError."""


class Interrupted(CloudError):
    """Ctrl-C during apply: which steps are done, which one was under way, and how to go on."""

    exit_code = 130


def apply(plan: Plan, cloud: Executor, report: Report = CONSOLE) -> None:
    """Execute the steps of `plan` by `cloud`, and tell `report` of each.

    When a step fails, the restores of all steps that were begun and not settled run, last first,
    and the error says so. Raises ValueError before the first step for an operation that `cloud`
    does not know, CloudError as a step did, and Interrupted after Ctrl-C; then nothing is restored,
    since the step may well complete in the cloud: a new run takes up where this one was.
    """
    _refuse_unknown(plan, cloud)
    done: list[Step] = []
    unproved: list[Step] = []
    for step in plan.steps:
        try:
            _execute(step, cloud, report)
        except (KeyboardInterrupt, SystemExit) as e:  # Ctrl-C; a signal (onnxferry/system/exits.py)
            raise Interrupted(_left(plan, step, done)) from e
        except Exception as e:  # a defect, too, must not leave what is unproved serving
            _fail(e, _restore((*unproved, step), cloud, report), report)
            raise
        done.append(step)
        unproved = [] if step.settles else [*unproved, step]


def _refuse_unknown(plan: Plan, cloud: Executor) -> None:
    steps = (*plan.steps, *(step.restore for step in plan.steps if step.restore))
    named = {step.operation for step in steps if step.action is not Action.REUSE}
    if unknown := sorted(named - set(cloud.operations)):
        raise ValueError(f"{plan.target} has no operation {', '.join(map(repr, unknown))}")


def _execute(step: Step, cloud: Executor, report: Report) -> None:
    if step.action is Action.REUSE:
        report.note(f"-- {step}")
        return
    with report.stage(str(step)) as progress:
        cloud.execute(step, progress)


def _restore(begun: tuple[Step, ...], cloud: Executor, report: Report) -> str:
    """Run the restores of `begun`, last first; what came of it, in words ("" if there is nothing to
    restore)."""
    restores = [step.restore for step in reversed(begun) if step.restore]
    try:
        for restore in restores:
            _execute(restore, cloud, report)
    except (KeyboardInterrupt, SystemExit) as e:
        raise Interrupted(
            "interrupted while the earlier version was put back, which may still complete in the"
            f" cloud. See what serves with {program('status')}, and go back with"
            f" {program('rollback')}"
        ) from e
    except Exception as e:
        return f"Putting the earlier version back failed too: {e}\nRun: {program('rollback')}"
    if not restores:
        return ""
    return f"The earlier version serves again ({'; '.join(map(str, restores))})."


def _fail(e: Exception, restored: str, report: Report) -> None:
    """Say what came of the restores: in the error, or by the report where it is a defect."""
    if restored and isinstance(e, FerryError):
        e.with_context(restored)
    elif restored:
        report.note(restored)


def _left(plan: Plan, step: Step, done: list[Step]) -> str:
    made = [str(s) for s in done if s in plan.changes]
    return (
        f"interrupted at: {step}. It may still complete in the cloud.\nDone before it:"
        f" {'; '.join(made) or 'no change'}.\nTo go on, run the same command again: it reuses what"
        f" is there. To remove it all: {program('delete')} --target {plan.target} --name"
        f" {plan.name}"
    )

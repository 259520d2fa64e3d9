"""Execute a plan, one visible line a step; put back what served when a step fails.

A step that is done survives an interruption: a new plan reads the cloud, finds it and says "reuse".
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Protocol

from onnxferry.infra.errors import CloudError
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.infra.plan_text import Report
from onnxferry.system.console import Progress
from onnxferry.system.errors import FerryError
from onnxferry.system.exits import program


class Executor(Protocol):
    """What executes steps: a cloud."""

    @property
    def operations(self) -> Collection[str]:
        """The operations that `execute` knows."""

    def execute(self, step: Step, progress: Progress) -> None:
        """Do what `step.parameters` say, unless it is done already. Raises CloudError."""


class Interrupted(CloudError):
    """Ctrl-C during apply: what is done, which step was under way, and how to go on."""

    exit_code = 130


def apply(plan: Plan, cloud: Executor, report: Report = Report()) -> None:
    """Execute the steps of `plan` by `cloud`, and tell `report` of each.

    When a step fails, the restores of all steps that were begun and not settled run, last first,
    and the error says so. After Ctrl-C nothing is restored, since the step may complete in the
    cloud. Raises ValueError before the first step for an operation that `cloud` does not know,
    CloudError as a step did, and Interrupted.
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
    """Run the restores of `begun`, last first; what came of it, in words ("" without any)."""
    restores = [step.restore for step in reversed(begun) if step.restore]
    back = program("rollback")
    try:
        for restore in restores:
            _execute(restore, cloud, report)
    except (KeyboardInterrupt, SystemExit) as e:
        what = "interrupted while the earlier version was put back; the cloud may yet complete it"
        raise Interrupted(f"{what}. See what serves: {program('status')}; go back: {back}") from e
    except Exception as e:
        return f"Putting the earlier version back failed too: {e}\nRun: {back}"
    served = "; ".join(map(str, restores))
    return f"The earlier version serves again ({served})." if restores else ""


def _fail(e: Exception, restored: str, report: Report) -> None:
    """Say what came of the restores: in the error, or by the report where it is a defect."""
    if restored and isinstance(e, FerryError):
        e.with_context(restored)
    elif restored:
        report.note(restored)


def _left(plan: Plan, step: Step, done: list[Step]) -> str:
    made = "; ".join(str(s) for s in done if s in plan.changes) or "no change"
    remove = f"{program('delete')} --target {plan.target} --name {plan.name}"
    return (
        f"interrupted at: {step}. It may still complete in the cloud.\nDone before it: {made}.\n"
        "To go on, run the same command again: it reuses what is there.\n"
        f"To remove it all: {remove}"
    )

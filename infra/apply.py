"""Execute a plan, one visible line a step. When a step fails, put back what served, and remove what
was begun and not proved.

A step that is done survives an interruption: a new plan reads the cloud, finds it and says "reuse".
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from onnxferry.infra.costs import cost
from onnxferry.infra.errors import CloudError, LeaseLost, NoCredentials
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.infra.plan_text import Report, costly
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


@dataclass(frozen=True)
class Terms:
    """How a plan is executed: `check` raises LeaseLost where the run may not go on; what failed is
    removed, or kept, to be looked at."""

    check: Callable[[], None] = lambda: None
    keep_failed: bool = False


@dataclass
class _Run:
    """One execution of `plan`: the steps that were `begun`, and those of them that are `unproved`.
    The last that was begun may have failed."""

    plan: Plan
    cloud: Executor
    report: Report
    terms: Terms
    begun: list[Step] = field(default_factory=list)
    unproved: list[Step] = field(default_factory=list)
    gone: list[tuple[str, str]] = field(default_factory=list)
    unsigned: bool = False  # it was said already that nobody is signed in

    def words(self, e: Exception) -> str:
        """What an error says; of a sign-in that has expired, how to renew it but once."""
        said, self.unsigned = self.unsigned, self.unsigned or isinstance(e, NoCredentials)
        return "nobody is signed in" if said and isinstance(e, NoCredentials) else str(e)

    def execute(self, step: Step) -> None:
        if step.action is Action.REUSE:
            self.report.note(f"-- {step}")
            return
        self.terms.check()
        with self.report.stage(str(step)) as progress:
            self.cloud.execute(step, progress)

    def all(self) -> None:
        for step in self.plan.steps:
            self.begun.append(step)
            self.unproved.append(step)
            self.execute(step)
            if step.proves:
                self.unproved.clear()

    def clear_up(self) -> Iterator[str]:
        """Restore, remove, and say what came of it. Where restoring fails, what is unproved may
        serve, and stays."""
        back = [step.restore for step in reversed(self.unproved) if step.restore]
        try:
            for restore in back:
                self.execute(restore)
        except Exception as e:
            advice = f"Run: {program('rollback')}"
            yield f"Putting the earlier version back failed too: {self.words(e)}\n{advice}"
            yield from self._left("Left")
            return
        if back:
            yield f"The earlier version serves again ({'; '.join(map(str, back))})."
        if self.terms.keep_failed:
            yield from self._left("Kept, as --keep-failed says")
        else:
            yield from self._remove()
            yield from self._left("Left")

    def _remove(self) -> Iterator[str]:
        """The removals of what is unproved, last first; then what the plan made to delete it again
        in the end."""
        of_steps = [step.removal for step in reversed(self.unproved) if step.removal]
        removals = {_key(step): step for step in (*of_steps, *self._passing())}
        yield from filter(None, map(self._removed, removals.values()))
        if self.gone:
            gone = (" ".join(key) for key in self.gone)
            yield f"Removed what was not proved: {'; '.join(gone)}."

    def _removed(self, removal: Step) -> str:
        """Remove one thing; why that failed, or ""."""
        try:
            self.execute(removal)
        except Exception as e:
            return f"Removing {removal.resource} {removal.name} failed too: {self.words(e)}"
        self.gone.append(_key(removal))
        return ""

    def _passing(self) -> list[Step]:
        """The deletions, still to come, of what earlier steps made or used."""
        touched = set(map(_key, self.begun))
        rest = self.plan.steps[len(self.begun) :]
        return [s for s in rest if s.action is Action.DELETE and _key(s) in touched]

    def _left(self, why: str) -> Iterator[str]:
        """What is there still that is not proved and costs something."""
        *done, last = self.begun
        made = [s for s in done if s.action is Action.CREATE and s in self.unproved]
        begun = [last] if last.removal or last.action is Action.DELETE else []
        keys = dict.fromkeys(map(_key, (*made, *self._passing(), *begun)))
        target = self.plan.target
        left = [costly(self.plan, k) for k in keys if k not in self.gone and cost(target, k[0])]
        if left:
            yield f"{why}: {'; '.join(left)}. To remove it: {_command(self.plan, '--unproved')}"


def apply(plan: Plan, cloud: Executor, report: Report = Report(), terms: Terms = Terms()) -> None:
    """Execute the steps of `plan` by `cloud`, and tell `report` of each.

    When a step fails, the restores of all steps that are not proved run, last first, then what
    removes what they made, and the error says so. Not after Ctrl-C, since the step may complete in
    the cloud, and not after LeaseLost, since another run is at work. Raises ValueError before the
    first step for an operation that `cloud` does not know, CloudError as a step did, and
    Interrupted.
    """
    _refuse_unknown(plan, cloud)
    run = _Run(plan, cloud, report, terms)
    try:
        run.all()
    except (KeyboardInterrupt, SystemExit) as e:  # Ctrl-C; a signal (onnxferry/system/exits.py)
        raise Interrupted(_interrupted(plan, run.begun)) from e
    except LeaseLost:
        raise
    except Exception as e:  # a defect, too, must not leave what is unproved serving
        run.words(e)
        _say(e, _cleared_up(run), report)
        raise


def _cleared_up(run: _Run) -> str:
    try:
        return "\n".join(run.clear_up())
    except (KeyboardInterrupt, SystemExit) as e:
        what = "interrupted while the earlier version was put back; the cloud may yet complete it"
        go_on = f"See what serves: {program('status')}; go back: {program('rollback')}"
        raise Interrupted(f"{what}. {go_on}") from e


def _refuse_unknown(plan: Plan, cloud: Executor) -> None:
    others = ((step.restore, step.removal) for step in plan.steps)
    steps = (*plan.steps, *(step for pair in others for step in pair if step))
    named = {step.operation for step in steps if step.action is not Action.REUSE}
    if unknown := sorted(named - set(cloud.operations)):
        raise ValueError(f"{plan.target} has no operation {', '.join(map(repr, unknown))}")


def _say(e: Exception, text: str, report: Report) -> None:
    """Say `text` in the error, or by the report where that is a defect."""
    if text and isinstance(e, FerryError):
        e.with_context(text)
    elif text:
        report.note(text)


def _interrupted(plan: Plan, begun: list[Step]) -> str:
    *done, step = begun
    changes = [one for one in done if one in plan.changes]
    made = "; ".join(
        f"{one.action.value} {costly(plan, (one.resource, one.name))}" for one in changes
    )
    return (
        f"interrupted at: {step}. It may still complete in the cloud.\nDone before it:"
        f" {made or 'no change'}.\nTo go on, run the same command again: it reuses what is there.\n"
        f"To remove what is not proved: {_command(plan, '--unproved')}\n"
        f"To remove it all: {_command(plan)}"
    )


def _command(plan: Plan, *flags: str) -> str:
    words = (program("delete"), "--target", plan.target, "--name", plan.name, *flags)
    return " ".join(words)


def _key(step: Step) -> tuple[str, str]:
    return (step.resource, step.name)

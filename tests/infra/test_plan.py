"""A plan is data; apply executes just that, restores what served when a step fails, and survives an
interruption."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from onnxferry.infra.apply import Interrupted, apply
from onnxferry.infra.errors import CloudError, NotHealthy, WrongAnswer
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.infra.report import plan_table
from onnxferry.system.console import Progress, out
from tests.infra.quiet import QuietReport

BACK = Step(Action.UPDATE, "endpoint", "squad", "promote", {"to": "old"})
PLAN = Plan(
    "sagemaker",
    "deploy",
    "squad",
    (
        Step(Action.REUSE, "bucket", "b"),
        Step(Action.CREATE, "model", "squad-1", "create", {"image": "i"}),
        Step(Action.UPDATE, "endpoint", "squad", "promote", {"to": "new"}, restore=BACK),
        Step(Action.CHECK, "answer", "squad", "smoke"),
    ),
)


class World:
    """What operations change: `serves`, and all that was done. A step whose operation is in
    `trouble` raises."""

    def __init__(self, **trouble: BaseException) -> None:
        self.serves = "old"
        self.done: list[str] = []
        self.trouble = trouble

    operations = frozenset({"create", "promote", "smoke", "tidy"})

    def execute(self, step: Step, progress: Progress) -> None:
        self.done.append(str(step))
        progress("half way")
        if "to" in step.parameters:
            self.serves = step.parameters["to"]
        if error := self.trouble.pop(step.operation, None):
            raise error


def test_executes_just_the_plan() -> None:
    world = World()
    apply(PLAN, world, QuietReport())
    assert world.done == ["create model squad-1", "update endpoint squad", "check answer squad"]
    assert world.serves == "new"


@pytest.mark.parametrize("step", ["promote", "smoke"])
def test_a_failure_puts_the_earlier_version_back(step: str) -> None:
    world = World(**{step: WrongAnswer("it says Bob")})
    with pytest.raises(
        WrongAnswer,
        match=r"it says Bob\nThe earlier version serves again \(update endpoint squad\)",
    ):
        apply(PLAN, world, QuietReport())
    assert world.serves == "old"


def test_a_failure_before_the_promotion_restores_nothing() -> None:
    world = World(create=NotHealthy("no"))
    with pytest.raises(NotHealthy, match=r"^no$"):
        apply(PLAN, world, QuietReport())
    assert world.done == ["create model squad-1"]


def test_what_is_proved_stays_when_tidying_fails() -> None:
    proof = replace(PLAN.steps[3], settles=True)
    tidy = Step(Action.DELETE, "model", "squad-0", "tidy")
    world = World(tidy=CloudError("no network"))
    with pytest.raises(CloudError, match=r"^no network$"):
        apply(replace(PLAN, steps=(*PLAN.steps[:3], proof, tidy)), world, QuietReport())
    assert world.serves == "new"


def test_a_failing_restore_is_said() -> None:
    class Broken(World):
        def execute(self, step: Step, progress: Progress) -> None:
            if step is BACK:
                raise CloudError("no network")
            super().execute(step, progress)

    with pytest.raises(
        WrongAnswer, match=r"(?s)differs.*failed too: no network.*deploy.py rollback"
    ):
        apply(PLAN, Broken(smoke=WrongAnswer("differs")), QuietReport())


def test_a_defect_puts_the_earlier_version_back_too(capsys: pytest.CaptureFixture[str]) -> None:
    world = World(smoke=KeyError("an answer without what it must have"))
    with pytest.raises(KeyError):
        apply(PLAN, world, QuietReport())
    assert world.serves == "old"


def test_an_interruption_while_putting_back_says_so() -> None:
    class Impatient(World):
        def execute(self, step: Step, progress: Progress) -> None:
            if step is BACK:
                raise KeyboardInterrupt
            super().execute(step, progress)

    with pytest.raises(
        Interrupted, match=r"while the earlier version was put back.*deploy.py rollback"
    ) as caught:
        apply(PLAN, Impatient(smoke=WrongAnswer("differs")), QuietReport())
    assert isinstance(caught.value.__context__, KeyboardInterrupt)


def test_an_interruption_says_what_was_left_and_how_to_go_on() -> None:
    world = World(promote=KeyboardInterrupt())
    with pytest.raises(Interrupted) as caught:
        apply(PLAN, world, QuietReport())
    text = str(caught.value)
    assert "interrupted at: update endpoint squad" in text
    assert "Done before it: create model squad-1" in text
    assert "run the same command again" in text
    assert "delete --target sagemaker --name squad" in text
    assert caught.value.exit_code == 130


def test_reads_as_json_and_as_a_table() -> None:
    data = json.loads(PLAN.to_json())
    assert [step["action"] for step in data["steps"]] == ["reuse", "create", "update", "check"]
    assert data["steps"][2]["restore"]["parameters"] == {"to": "old"}
    with out.capture() as capture:
        out.print(plan_table(PLAN))
    shown = capture.get()
    assert "deploy squad on sagemaker: 2 changes" in shown
    assert 'image="i"' in shown


def test_changes_are_what_changes_something() -> None:
    assert [step.action for step in PLAN.changes] == [Action.CREATE, Action.UPDATE]

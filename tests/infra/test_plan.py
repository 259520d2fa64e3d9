"""A plan is data; apply executes just that, restores what served when a step fails, and survives an
interruption."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from onnxferry.infra.apply import Interrupted, Terms, apply
from onnxferry.infra.errors import CloudError, NotHealthy, WrongAnswer
from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.infra.plan_text import differences, plan_text
from onnxferry.system.console import Progress
from tests.infra.plan_json import plan_of
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
    proof = replace(PLAN.steps[3], proves=True)
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
        WrongAnswer, match=r"(?s)differs.*failed too: no network.*onnxferry rollback"
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
        Interrupted, match=r"while the earlier version was put back.*onnxferry rollback"
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


def test_reads_as_json_and_back() -> None:
    data = json.loads(PLAN.to_json())
    assert [step["action"] for step in data["steps"]] == ["reuse", "create", "update", "check"]
    assert data["steps"][2]["restore"]["parameters"] == {"to": "old"}
    summed = replace(PLAN, summary=Summary("here", "b", "a", "1 x small", (5, 10)))
    for plan in (PLAN, summed):
        assert plan_of(plan.to_json()) == plan


def test_an_unknown_operation_is_refused_before_the_first_step() -> None:
    odd = Step(Action.CREATE, "queue", "q", "create_queue")
    promote = PLAN.steps[2]
    for step in (odd, replace(promote, restore=odd), replace(promote, removal=odd)):
        world = World()
        with pytest.raises(ValueError, match="sagemaker has no operation 'create_queue'"):
            apply(replace(PLAN, steps=(*PLAN.steps, step)), world, QuietReport())
        assert world.done == []


def test_an_error_keeps_its_type_attributes_and_cause() -> None:
    class Coded(CloudError):
        def __init__(self, message: str, code: int) -> None:
            super().__init__(message)
            self.code = code

    error = Coded("no quota", 429)
    error.__cause__ = cause = OSError("429")
    with pytest.raises(Coded, match=r"^no quota\nThe earlier version serves again") as caught:
        apply(PLAN, World(smoke=error), QuietReport())
    assert caught.value is error
    assert (caught.value.code, caught.value.__cause__) == (429, cause)


def test_a_defect_s_restores_are_said_by_the_report() -> None:
    report = QuietReport()
    with pytest.raises(KeyError):
        apply(PLAN, World(smoke=KeyError("answer")), report)
    assert report.notes[-1] == "The earlier version serves again (update endpoint squad)."


def test_losses_are_what_is_deleted_or_replaced() -> None:
    """Not what the plan itself makes for a while."""
    made = Step(Action.CREATE, "endpoint", "squad-candidate", "create")
    gone = Step(Action.DELETE, "endpoint", "squad-candidate", "tidy")
    assert replace(PLAN, steps=(made, gone)).destructive == ()
    assert replace(PLAN, steps=(gone,)).destructive == (gone,)
    assert PLAN.destructive == (PLAN.steps[2],)


def test_a_plan_reads_as_sentences() -> None:
    passing = Step(Action.CREATE, "endpoint", "squad-candidate", "create")
    gone = Step(Action.DELETE, "endpoint", "squad-candidate", "tidy")
    old = Step(Action.DELETE, "model", "squad-0", "tidy")
    summary = Summary("AWS account 1", "b" * 12, "a" * 12, "2 x ml.m5.large", (10, 25))
    summary = replace(summary, peak="4 x ml.m5.large", shortage="3 are left")
    summary = replace(summary, notes=("no one was asked",))
    text = plan_text(replace(PLAN, steps=(passing, *PLAN.steps, gone, old), summary=summary))
    assert text.splitlines() == [
        "Deploy squad on sagemaker (AWS account 1).",
        "Version bbbbbbbbbbbb will serve on 2 x ml.m5.large, and replaces aaaaaaaaaaaa.",
        "Uses what is there: bucket b.",
        "Creates: model squad-1.",
        "Changes: endpoint squad.",
        "Deletes: model squad-0.",
        "Checks: answer squad.",
        "For the time of the change only: endpoint squad-candidate (billed by the hour).",
        "At most 4 x ml.m5.large run at a time meanwhile.",
        "The quota does not suffice: 3 are left",
        "no one was asked",
        "It usually takes 10 to 25 minutes.",
    ]
    assert (
        plan_text(replace(PLAN, steps=PLAN.steps[:1]))
        == "Deploy squad on sagemaker: nothing to do."
    )


def test_changes_are_what_changes_something() -> None:
    assert [step.action for step in PLAN.changes] == [Action.CREATE, Action.UPDATE]


GONE = Step(Action.DELETE, "endpoint", "squad-candidate", "tidy")
CANDIDATE = Step(Action.CREATE, "endpoint", "squad-candidate", "create", removal=GONE)
PROOF = Step(Action.CHECK, "answer", "squad-candidate", "smoke", proves=True)
PACKAGE = Step(Action.CREATE, "package", "p", "create")
UPDATE = replace(PLAN, steps=(PACKAGE, CANDIDATE, PROOF, PLAN.steps[2], GONE))


@pytest.mark.parametrize("failing", ["create", "smoke", "promote"])
def test_what_is_begun_and_not_proved_is_removed(failing: str) -> None:
    """What the plan makes for a while goes even once it is proved."""
    steps = UPDATE.steps[1:] if failing == "create" else UPDATE.steps
    world = World(**{failing: WrongAnswer("it says Bob")})
    with pytest.raises(WrongAnswer) as caught:
        apply(replace(UPDATE, steps=steps), world, QuietReport())
    assert world.done[-1] == "delete endpoint squad-candidate"
    assert world.serves == "old"
    text = str(caught.value)
    assert "Removed what was not proved: endpoint squad-candidate." in text
    kept = "Left: package p (billed by what it stores). To remove it: onnxferry delete"
    assert (kept in text) == (failing == "smoke")


def test_what_failed_is_kept_where_that_is_asked_for() -> None:
    world = World(smoke=WrongAnswer("it says Bob"))
    with pytest.raises(WrongAnswer) as caught:
        apply(UPDATE, world, QuietReport(), Terms(keep_failed=True))
    assert world.done[-1] == "check answer squad-candidate"
    assert str(caught.value).endswith(
        "Kept, as --keep-failed says: package p (billed by what it stores); endpoint"
        " squad-candidate (billed by the hour). To remove it: onnxferry delete --target sagemaker"
        " --name squad --unproved"
    )


def test_where_removing_fails_it_is_said_what_is_left_and_what_it_costs() -> None:
    world = World(smoke=WrongAnswer("it says Bob"), tidy=CloudError("no network"))
    with pytest.raises(WrongAnswer) as caught:
        apply(UPDATE, world, QuietReport())
    text = str(caught.value)
    assert "Removing endpoint squad-candidate failed too: no network" in text
    assert "endpoint squad-candidate (billed by the hour). To remove it:" in text


def test_what_may_serve_is_not_removed() -> None:
    """The earlier version could not be put back: the unproved one has its traffic still."""
    step = replace(PLAN.steps[2], removal=GONE)

    class Stuck(World):
        def execute(self, step: Step, progress: Progress) -> None:
            if step is BACK:
                raise CloudError("no network")
            super().execute(step, progress)

    world = Stuck(smoke=WrongAnswer("it says Bob"))
    with pytest.raises(WrongAnswer, match="Putting the earlier version back failed too"):
        apply(replace(PLAN, steps=(step, PLAN.steps[3])), world, QuietReport())
    assert "delete endpoint squad-candidate" not in world.done


def test_what_serves_proved_is_not_called_left_over() -> None:
    first = replace(CANDIDATE, name="squad", removal=replace(GONE, name="squad"))
    tidy = Step(Action.DELETE, "model", "squad-0", "tidy")
    world = World(tidy=CloudError("no network"))
    with pytest.raises(CloudError, match=r"^no network$"):
        apply(replace(PLAN, steps=(first, PROOF, tidy)), world, QuietReport())


def test_what_differs_is_told_with_what_it_would_be() -> None:
    tags = Step(
        Action.UPDATE, "tags of endpoint", "squad", "promote", {"set": {"team": "ml"}, "seen": [{}]}
    )
    assert list(differences(replace(PLAN, steps=(PLAN.steps[1], tags)))) == [
        "Differs: tags of endpoint squad, which would be set to",
        "  set.team = ml",
    ]
    many = {"probe": {"period": 10, "of": [1, 2]}, "rules": [{"at": "8"}, {"at": "9"}], "off": {}}
    facts = {**many, "text": "a\n" * 300, **{f"key{i}": None for i in range(30)}}
    lines = list(differences(replace(PLAN, steps=(replace(tags, parameters=facts),))))
    assert lines[1:7] == [
        "  probe.period = 10",
        "  probe.of = [1, 2]",
        "  rules[0].at = 8",
        "  rules[1].at = 9",
        "  off = {}",
        f"  text = {'a ' * 100} ...",
    ]
    assert (len(lines), lines[-1]) == (32, "  and 6 more: --output json")


def test_what_an_interrupted_run_leaves_costs_as_its_plan_says() -> None:
    plan = replace(UPDATE, summary=Summary(costs={"endpoint": "billed by use"}))
    for ends, terms in (
        (WrongAnswer("Bob"), Terms(keep_failed=True)),
        (KeyboardInterrupt(), Terms()),
    ):
        with pytest.raises(CloudError) as caught:
            apply(plan, World(smoke=ends), QuietReport(), terms)
        assert "endpoint squad-candidate (billed by use)" in str(caught.value)

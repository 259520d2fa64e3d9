"""A sign-in that expires in the middle of a run is told once, with the command that renews it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxferry.infra.apply import apply
from onnxferry.infra.errors import NoCredentials, WrongAnswer
from onnxferry.infra.plan import Action, Step
from onnxferry.system.console import Progress
from tests.infra.quiet import QuietReport
from tests.infra.test_plan import PLAN, World

EXPIRED = "endpoint squad: not signed in, or no longer. Run `az login`"
REMOVALS = {
    "create": Step(Action.DELETE, "model", "squad-1", "tidy"),
    "promote": Step(Action.DELETE, "endpoint configuration", "squad-1", "tidy"),
}
STEPS = tuple(replace(s, removal=REMOVALS.get(s.operation)) for s in PLAN.steps)


class Expiring(World):
    """Its sign-in has expired after so many steps."""

    def __init__(self, steps: int, **trouble: BaseException) -> None:
        super().__init__(**trouble)
        self.steps = steps

    def execute(self, step: Step, progress: Progress) -> None:
        if len(self.done) >= self.steps:
            raise NoCredentials(EXPIRED)
        super().execute(step, progress)


@pytest.mark.parametrize("its", [PLAN.steps, STEPS], ids=["restores", "removals"])
@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_it_is_told_once(its: tuple[Step, ...], done: int) -> None:
    world = Expiring(done, smoke=WrongAnswer("it says Bob"))
    with pytest.raises((NoCredentials, WrongAnswer)) as caught:
        apply(replace(PLAN, steps=its), world, QuietReport())
    assert str(caught.value).count("az login") == 1

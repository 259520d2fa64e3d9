"""deploy, rollback and delete show their plan, and ask before anything is deleted or replaced."""

from __future__ import annotations

import logging
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner, Result

from onnxferry.infra.command_line import execute
from onnxferry.infra.plan import Action, Plan, Step
from onnxferry.system.console import Progress
from onnxferry.system.exits import cli_errors

PLAN = Plan("sagemaker", "deploy", "squad", (Step(Action.CREATE, "model", "m", "make"),))
GONE = replace(PLAN, steps=(Step(Action.DELETE, "model", "m", "make"),))


class Executed:
    """A cloud that only counts."""

    operations = frozenset({"make"})

    def __init__(self) -> None:
        self.steps: list[Step] = []

    def execute(self, step: Step, progress: Progress) -> None:
        self.steps.append(step)


def run(
    plan: Plan, typed: str = "", *, terminal: bool, yes: bool = False, always: bool = False
) -> tuple[Result, bool]:
    """What the command said, and whether it was executed."""
    cloud = Executed()

    @click.command()
    def command() -> None:
        with cli_errors():
            execute(plan, cloud, yes=yes, terminal=terminal, always_ask=always)

    return CliRunner().invoke(command, input=typed), bool(cloud.steps)


@pytest.mark.parametrize(
    ("plan", "typed", "options", "done", "code"),
    [
        (PLAN, "", {"terminal": True}, True, 0),  # nothing is lost
        (GONE, "", {"terminal": False}, True, 0),  # a pipeline's deploy goes on
        (GONE, "y\n", {"terminal": True}, True, 0),
        (GONE, "n\n", {"terminal": True}, False, 1),
        (GONE, "", {"terminal": True, "yes": True}, True, 0),
        (GONE, "", {"terminal": False, "always": True}, False, 2),  # delete needs --yes
        (GONE, "", {"terminal": False, "always": True, "yes": True}, True, 0),
    ],
)
def test_it_asks_where_something_is_lost(
    plan: Plan, typed: str, options: dict[str, bool], done: bool, code: int
) -> None:
    result, executed = run(plan, typed, **options)
    assert (executed, result.exit_code) == (done, code)
    assert result.stderr.startswith("Deploy squad on sagemaker.\n")


def test_the_parameters_are_in_the_log_that_v_shows(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "onnxferry"):
        result, _ = run(PLAN, terminal=False)
    assert '"operation": "make"' in caplog.text
    assert "operation" not in result.stderr

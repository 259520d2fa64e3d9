"""deploy, rollback and delete show their plan, and ask before anything is deleted or replaced."""

from __future__ import annotations

import json
import logging
from dataclasses import replace

import click
import pytest
from click.testing import CliRunner, Result

from onnxferry.infra.cloud import Listed
from onnxferry.infra.errors import CloudError, LeaseHeld, NameTaken
from onnxferry.infra.execution import Consent, execute
from onnxferry.infra.lease import LeaseStore, this_run
from onnxferry.infra.plan import Action, Plan, Step, Summary
from onnxferry.system.console import Progress
from onnxferry.system.exits import cli_errors
from tests.infra.memory_store import MemoryStore

PLAN = Plan("sagemaker", "deploy", "squad", (Step(Action.CREATE, "model", "m", "make"),))
GONE = replace(PLAN, steps=(Step(Action.DELETE, "model", "m", "make"),))


class Executed:
    """A cloud that only counts."""

    operations = frozenset({"make"})

    def __init__(self) -> None:
        self.steps: list[Step] = []
        self.lease = MemoryStore()

    def execute(self, step: Step, progress: Progress) -> None:
        self.steps.append(step)

    def sign_in(self) -> None:
        pass

    def lease_store(self) -> LeaseStore:
        return self.lease

    def listed(self) -> list[Listed]:
        return []


def run(
    plan: Plan, typed: str = "", *, terminal: bool, yes: bool = False, always: bool = False
) -> tuple[Result, bool]:
    """What the command said, and whether it was executed."""
    cloud = Executed()

    @click.command()
    def command() -> None:
        with cli_errors():
            execute(lambda: plan, cloud, Consent(yes=yes, terminal=terminal, always=always))

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


def test_a_plan_that_changes_under_the_lease_is_shown_and_asked_again() -> None:
    plans = iter((PLAN, GONE))
    cloud = Executed()

    @click.command()
    def command() -> None:
        with cli_errors():
            execute(lambda: next(plans), cloud, Consent(yes=False, terminal=True))

    result = CliRunner().invoke(command, input="n\n")
    assert "has changed meanwhile" in result.stderr
    assert "Deletes: model m." in result.stderr
    assert (result.exit_code, cloud.steps) == (1, [])


def test_what_the_quota_lacks_is_said_before_anything_is_made() -> None:
    summary = Summary(shortage="it needs 3 x ml.m5.large, and 2 are left")
    result, executed = run(replace(PLAN, summary=summary), terminal=True, yes=True)
    assert not executed
    assert "3 x ml.m5.large, and 2 are left. Nothing was changed" in result.stderr


def test_the_foundation_is_made_before_the_lease_is_taken() -> None:
    """The place of the lease may be missing before."""
    bucket = Step(Action.CREATE, "bucket", "b", "make")
    cloud, made = Executed(), replace(PLAN, steps=(bucket, *PLAN.steps), foundation=1)
    there = replace(made, steps=(Step(Action.REUSE, "bucket", "b"), *PLAN.steps))
    plans = iter((made, there))
    done = execute(lambda: next(plans), cloud, Consent(yes=True, terminal=False))
    assert cloud.steps == [bucket, *PLAN.steps]
    assert done is there


@pytest.mark.parametrize("at_work", [True, False])
def test_what_another_run_makes_meanwhile_is_not_called_taken(at_work: bool) -> None:
    """A plan made beside a run at work may find that run's things: they are no strangers'."""
    cloud, tries = Executed(), iter((NameTaken("squad-candidate: AlreadyExists"), PLAN))
    if at_work:
        cloud.lease.write(json.dumps(vars(this_run("deploy"))), "")

    def planned() -> Plan:
        found = next(tries, PLAN)
        if isinstance(found, CloudError):
            raise found
        return found

    if not at_work:
        assert execute(planned, cloud, Consent(yes=True, terminal=False)) is PLAN
        return
    with pytest.raises(LeaseHeld, match=r"process \d+ \(deploy.*squad-candidate: AlreadyExists"):
        execute(planned, cloud, Consent(yes=True, terminal=False))
    assert cloud.steps == []

"""Execute a plan as a command does: show it, ask, and hold the endpoint's lease meanwhile.

What needs more than the plan's data is imported when it is called: --help loads this file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import click

from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    from onnxferry.infra.cloud import Cloud
    from onnxferry.infra.plan import Plan

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Consent:
    """Who agrees to a plan: `yes` in advance, or somebody at a `terminal`, who is asked where
    something is deleted or replaced, and with `always` before any change."""

    yes: bool
    terminal: bool
    always: bool = False

    def needed(self, plan: Plan) -> bool:
        """Whether somebody must be asked."""
        lost = plan.changes if self.always else self.terminal and plan.destructive
        return bool(lost) and not self.yes


def execute(
    planned_by: Callable[[], Plan],
    cloud: Cloud,
    consent: Consent,
    force: bool = False,
    keep_failed: bool = False,
) -> Plan:
    """Show the plan, get consent, and execute it under the endpoint's lease; the plan that was
    executed. It is made again under the lease, and shown again where it has changed.

    Raises UsageError where nobody answers, Abort for a no, QuotaExceeded before anything is made,
    Refused likewise, LeaseHeld while another run is at work, unless `force`, and what apply raises.
    """
    from onnxferry.infra.apply import Terms, apply
    from onnxferry.infra.lease import held, this_run
    from onnxferry.infra.plan import Action

    shown = _planned_without_lease(planned_by, cloud, force=force)
    _agree(shown, consent)
    first = (s for s in shown.steps[: shown.foundation] if s.action is not Action.REUSE)
    apply(replace(shown, steps=tuple(first)), cloud)
    warn = partial(click.secho, fg="yellow", err=True)
    with held(cloud.lease_store, this_run(shown.purpose), warn, force=force) as check:
        planned = planned_by()
        if planned.meaning != shown.meaning:
            click.echo("What is there has changed meanwhile; the plan is now:", err=True)
            _agree(planned, consent)
        apply(planned, cloud, terms=Terms(check, keep_failed))
    return planned


def _planned_without_lease(planned_by: Callable[[], Plan], cloud: Cloud, *, force: bool) -> Plan:
    """A plan while another run may be at work. What that run makes or deletes meanwhile may look
    like somebody else's name, or be gone: then it is named, or the plan is made anew."""
    from onnxferry.infra.errors import LeaseHeld, NameTaken, NotFound
    from onnxferry.infra.lease import at_work

    try:
        return planned_by()
    except (NameTaken, NotFound) as e:
        if not force and (who := at_work(cloud.lease_store)):
            said = "works at this endpoint, and what is there changes; nothing is done"
            raise LeaseHeld(f"{who} {said}. Run again when it has ended. ({e})") from e
    return planned_by()


def _agree(plan: Plan, consent: Consent) -> None:
    """Show `plan`; refuse it where the quota does not suffice, and ask where that is needed."""
    from onnxferry.infra.errors import QuotaExceeded, Refused
    from onnxferry.infra.plan_text import plan_text

    _LOG.debug("the plan: %s", plan.to_json())
    click.echo(plan_text(plan), err=True)
    if plan.summary.shortage:
        raise QuotaExceeded(f"{plan.target}: {plan.summary.shortage}. Nothing was changed")
    if plan.summary.blocked:
        raise Refused(f"{plan.target}: {plan.summary.blocked}. Nothing was changed")
    if consent.needed(plan):
        _ask(plan)


def _ask(plan: Plan) -> None:
    question = f"{plan.purpose.capitalize()} {plan.name} on {plan.target}?"
    try:
        sure = click.confirm(question, err=True)
    except click.Abort as e:
        raise UsageError("no answer: nothing is done; where nobody can answer, give --yes") from e
    if not sure:
        raise click.Abort

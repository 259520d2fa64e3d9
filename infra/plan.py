"""A plan: what a deployment, a roll-back or a deletion will do, as frozen data. All that a step
does is in its parameters, so a plan that was written as JSON and read again does the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from onnxferry.infra.prices.estimate import CostEstimate


class Action(str, Enum):
    """What a step does to its resource; `check` waits or asks."""

    CREATE = "create"
    UPDATE = "update"
    REUSE = "reuse"
    CHECK = "check"
    DELETE = "delete"


@dataclass(frozen=True)
class Step:
    """`operation` is one of the cloud's `operations` ("" for reuse), `parameters` is all that it
    needs: JSON data without secrets.

    When this step or a later one fails, `restore` puts back what served before, and `removal`
    removes what this step has begun to make; up to a step that `proves` it: once that is done,
    it stays.
    """

    action: Action
    resource: str
    name: str
    operation: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    restore: Step | None = None
    removal: Step | None = None
    proves: bool = False

    def __str__(self) -> str:
        return f"{self.action.value} {self.resource} {self.name}"


def unless(
    there: bool, resource: str, name: str, operation: str, parameters: Mapping[str, Any]
) -> Step:
    """Create the resource, or reuse it where it is `there`."""
    if there:
        return Step(Action.REUSE, resource, name)
    return Step(Action.CREATE, resource, name, operation, parameters)


@dataclass(frozen=True)
class Summary:
    """What a plan means: `place` is account, region, workspace; `version` will serve and `replaces`
    serves now (12 digits, "" if none), on `instances` ("1 x ml.m5.large"). `peak` is the most that
    runs at a time meanwhile. `shortage` says what the account's quota lacks for that ("" where
    nothing, or unknown), `blocked` why else the cloud would undo it now. `minutes` is how long it
    usually takes, from and to. `region` is the one whose prices apply, `count` the instances that
    will run where they are billed by the hour; `cost` is of what is there afterwards, where it was
    asked for. `costs` says, by kind of resource, what one costs that costs otherwise here than in
    infra.costs, "" for nothing."""

    place: str = ""
    version: str = ""
    replaces: str = ""
    instances: str = ""
    minutes: tuple[int, int] | None = None
    peak: str = ""
    shortage: str = ""
    blocked: str = ""
    notes: tuple[str, ...] = ()
    region: str = ""
    count: int = 0
    cost: CostEstimate | None = None
    costs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """The steps, in order, to "deploy", "roll back" or "delete" the endpoint `name`.

    The first `foundation` steps make the place where the endpoint's lease is kept. They run before
    it is taken, and do no harm when two runs do them at once.
    """

    target: str
    purpose: str
    name: str
    steps: tuple[Step, ...]
    summary: Summary = Summary()
    foundation: int = 0

    @property
    def changes(self) -> tuple[Step, ...]:
        """The steps that change something."""
        return tuple(s for s in self.steps if s.action not in (Action.REUSE, Action.CHECK))

    @property
    def destructive(self) -> tuple[Step, ...]:
        """The steps that delete what was there before, or replace what serves."""
        made = {(s.resource, s.name) for s in self.steps if s.action is Action.CREATE}
        return tuple(
            step
            for step in self.changes
            if (step.action is Action.DELETE and (step.resource, step.name) not in made)
            or (step.action is Action.UPDATE and step.restore)
        )

    @property
    def meaning(self) -> tuple[object, ...]:
        """What a user agreed to: what serves before and after, and the changes after the
        foundation. Two plans of one meaning may differ in times and in what is reused."""
        changes = (str(step) for step in self.steps[self.foundation :] if step in self.changes)
        return (self.summary.version, self.summary.replaces, *changes)

    def to_json(self) -> str:
        """The plan as JSON text; amounts of money are texts, which are exact."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False, default=_text) + "\n"


def _text(value: object) -> str:
    if isinstance(value, Decimal):
        return f"{value.normalize():f}"
    raise TypeError(f"a plan holds {value!r}, which JSON does not have")

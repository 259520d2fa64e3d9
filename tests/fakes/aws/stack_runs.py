"""What is under way at a stack of the fake, as generators: each time that a client looks, it goes
on by a step."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from functools import partial
from typing import Any

from tests.fakes.aws.stack_resources import Failed, Made, Resources, fixed
from tests.fakes.aws.stack_templates import Resolver

_STACK = "AWS::CloudFormation::Stack"
REVIEW = "REVIEW_IN_PROGRESS"
_KEPT = ("Retain", "RetainExceptOnCreate")
Work = Iterator[None]


def now() -> datetime:
    return datetime.now(timezone.utc)


@dataclass
class ChangeSet:
    """`looks` is how many more times a client asks before it is made."""

    name: str
    kind: str
    template: dict[str, Any]
    values: dict[str, str]
    tags: dict[str, str]
    changes: list[dict[str, Any]] = field(default_factory=list)
    looks: int = 1


@dataclass
class Stack:
    """`work` is what is under way there."""

    name: str
    id: str
    state: str = REVIEW
    reason: str = ""
    template: dict[str, Any] = field(default_factory=dict)
    values: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    made: dict[str, Made] = field(default_factory=dict)
    status: dict[str, str] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    change_sets: dict[str, ChangeSet] = field(default_factory=dict)
    work: Work | None = None

    def to(self, state: str, reason: str = "") -> None:
        self.state, self.reason = state, reason
        self.say(self.name, _STACK, state, reason)

    def say(self, logical: str, kind: str, status: str, reason: str = "") -> None:
        self.status[logical] = status
        event = {
            "StackId": self.id,
            "EventId": f"{len(self.events)}",
            "StackName": self.name,
            "LogicalResourceId": logical,
            "ResourceType": kind,
            "Timestamp": now(),
            "ResourceStatus": status,
        }
        self.events.append({**event, **({"ResourceStatusReason": reason} if reason else {})})


@dataclass
class Run:
    """A deployment of `wanted` to a stack, or its deletion: `back` undoes what was done, last
    first; `old` are resources that others have replaced."""

    stack: Stack
    there: Resources
    region: str
    wanted: ChangeSet | None = None
    resolver: Resolver | None = None
    back: list[Callable[[], Work]] = field(default_factory=list)
    old: list[Made] = field(default_factory=list)
    retagged: bool = False

    def deploy(self, *, new: bool) -> Work:
        stack, wanted, resolver = self.stack, self.wanted, self.resolver
        assert wanted and resolver
        before = (stack.template, stack.values, stack.tags)
        self.retagged = stack.tags != wanted.tags
        stack.template, stack.values, stack.tags = wanted.template, wanted.values, wanted.tags
        resources = resolver.resources()
        try:
            for name, resource in resources.items():
                yield from self._put(name, resource["Type"], resolver.properties(resource))
            resolver.outputs()
        except Failed as e:
            yield from self._roll_back(str(e), new=new)
            if not new:
                stack.template, stack.values, stack.tags = before
            return
        gone = [name for name in reversed(stack.made) if name not in resources]
        if self.old or gone:
            stack.to("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS")
        for name in gone:
            yield from self._remove(name, stack.made.pop(name), before[0])
        for one in self.old:
            self.there.delete(one)
        stack.to("CREATE_COMPLETE" if new else "UPDATE_COMPLETE")

    def delete(self) -> Work:
        stack = self.stack
        try:
            for name in reversed(list(stack.made)):
                yield from self._remove(name, stack.made[name], stack.template)
                del stack.made[name]
        except Failed as e:
            stack.to("DELETE_FAILED", str(e))
            return
        stack.to("DELETE_COMPLETE")

    def _put(self, name: str, kind: str, given: dict[str, Any]) -> Work:
        stack = self.stack
        found = stack.made.get(name)
        changes = list(details(found, given, fixed(kind, self.region))) if found else []
        if found and not changes and not self.retagged:
            return
        word = "UPDATE" if found else "CREATE"
        stack.say(name, kind, f"{word}_IN_PROGRESS")
        yield
        try:
            self._act(name, kind, given, anew=found is None or is_replaced(changes))
            while not self.there.ready(stack.made[name]):
                yield
        except Failed as e:
            stack.say(name, kind, f"{word}_FAILED", str(e))
            raise
        stack.say(name, kind, f"{word}_COMPLETE")

    def _act(self, name: str, kind: str, given: dict[str, Any], *, anew: bool) -> None:
        found = self.stack.made.get(name)
        if found and not anew:
            self.back.append(partial(self._change_back, found, found.properties))
            return self.there.change(found, given)
        made = self.there.make(kind, name, given)
        self.back.append(partial(self._put_back, name, made, found))
        self.stack.made[name] = made
        self.old += [found] if found else []
        return None

    def _change_back(self, found: Made, earlier: Mapping[str, Any]) -> Work:
        if found.properties != earlier:
            self.there.change(found, earlier)
        while not self.there.ready(found):
            yield

    def _put_back(self, name: str, made: Made, found: Made | None) -> Work:
        del self.stack.made[name]
        if found is not None:
            self.stack.made[name] = found
        self.there.delete(made)
        while not self.there.gone(made):
            yield

    def _roll_back(self, reason: str, *, new: bool) -> Work:
        stack, word = self.stack, "ROLLBACK" if new else "UPDATE_ROLLBACK"
        stack.to(f"{word}_IN_PROGRESS", f"The following resource(s) failed: {reason}")
        try:
            for one in reversed(self.back):
                yield from one()
        except Failed as e:
            return stack.to(f"{word}_FAILED", str(e))
        return stack.to(f"{word}_COMPLETE")

    def _remove(self, name: str, made: Made, template: Mapping[str, Any]) -> Work:
        stack = self.stack
        if template["Resources"][name].get("DeletionPolicy") in _KEPT:
            return stack.say(name, made.kind, "DELETE_SKIPPED")
        stack.say(name, made.kind, "DELETE_IN_PROGRESS")
        yield
        try:
            self.there.delete(made)
            while not self.there.gone(made):
                yield
        except Failed as e:
            stack.say(name, made.kind, "DELETE_FAILED", str(e))
            raise
        return stack.say(name, made.kind, "DELETE_COMPLETE")


def is_replaced(changes: list[dict[str, Any]]) -> bool:
    return any(one["Target"]["RequiresRecreation"] == "Always" for one in changes)


def details(
    there: Made, given: Mapping[str, Any], fixed: Collection[str]
) -> Iterator[dict[str, Any]]:
    """What of a resource changes."""
    for name in sorted({*there.properties, *given}):
        before, after = there.properties.get(name), given.get(name)
        for path, old, new in _differences(before, after, f"/Properties/{name}"):
            target = {
                "Attribute": "Properties",
                "Name": name,
                "RequiresRecreation": "Always" if name in fixed else "Never",
                "Path": path,
                **({} if old is None else {"BeforeValue": _text(old)}),
                **({} if new is None else {"AfterValue": _text(new)}),
            }
            yield {"Target": target, "Evaluation": "Static", "ChangeSource": "DirectModification"}


def _differences(before: Any, after: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(before, dict) and isinstance(after, dict):
        for key in sorted({*before, *after}):
            yield from _differences(before.get(key), after.get(key), f"{path}/{key}")
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for i, pair in enumerate(zip(before, after, strict=True)):
            yield from _differences(*pair, f"{path}/{i}")
    elif before != after:
        yield path, before, after


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

"""A CloudFormation template with the values of its parameters: conditions, functions, and the order
in which its resources are made."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fakes.aws.answers import Refusal

LATER = "{{changeSet:KNOWN_AFTER_APPLY}}"
_SUB = re.compile(r"\$\{(!?)([^}]+)\}")
_NOTHING = object()
_LARGEST = 51200  # bytes of a TemplateBody


def invalid(message: str) -> Refusal:
    return Refusal("ValidationError", message)


def parsed(text: str) -> dict[str, Any]:
    """The template of a request."""
    if len(text.encode()) > _LARGEST:
        raise invalid(
            "1 validation error detected: Value at 'templateBody' failed to satisfy"
            f" constraint: Member must have length less than or equal to {_LARGEST}"
        )
    try:
        found: dict[str, Any] = json.loads(text)
    except ValueError as e:
        raise invalid(f"Template format error: JSON not well-formed. ({e})") from e
    if not found.get("Resources"):
        raise invalid("Template format error: At least one Resources member must be defined.")
    return found


@dataclass(frozen=True)
class Resolver:
    """`values` are the parameters' and the pseudo parameters' ("AWS::Region"); `known` tells what
    Ref (with "") and Fn::GetAtt give of a resource."""

    template: Mapping[str, Any]
    values: Mapping[str, str]
    known: Callable[[str, str], Any]

    def resources(self) -> dict[str, Any]:
        """Those whose conditions hold, in the order of what they need."""
        left = {n: r for n, r in self.template["Resources"].items() if self._made(r)}
        ordered: dict[str, Any] = {}
        while left:
            free = [n for n in left if not set(_needs(left[n])) & (set(left) - {n})]
            if not free:
                raise invalid(f"Circular dependency between resources: [{', '.join(left)}]")
            ordered[free[0]] = left.pop(free[0])
        return ordered

    def properties(self, resource: Mapping[str, Any]) -> dict[str, Any]:
        found: dict[str, Any] = self.resolved(resource.get("Properties", {}))
        return found

    def outputs(self) -> dict[str, str]:
        there = self.template.get("Outputs", {}).items()
        return {n: str(self.resolved(o["Value"])) for n, o in there if self._made(o)}

    def _made(self, one: Mapping[str, Any]) -> bool:
        return "Condition" not in one or self.holds(one["Condition"])

    def holds(self, name: str) -> bool:
        if name not in self.template.get("Conditions", {}):
            raise invalid(f"Template validation error: condition {name} does not exist")
        return bool(self.resolved(self.template["Conditions"][name]))

    def resolved(self, data: Any) -> Any:
        if isinstance(data, list):
            return [r for one in data if (r := self.resolved(one)) is not _NOTHING]
        if not isinstance(data, dict):
            return data
        if len(data) == 1 and (function := self._functions.get(next(iter(data)))):
            return function(next(iter(data.values())))
        found = {key: self.resolved(value) for key, value in data.items()}
        return {key: value for key, value in found.items() if value is not _NOTHING}

    @property
    def _functions(self) -> Mapping[str, Callable[[Any], Any]]:
        return {
            "Ref": self._ref,
            "Fn::GetAtt": lambda a: self.known(a[0], a[1]),
            "Fn::If": lambda a: self.resolved(a[1] if self.holds(a[0]) else a[2]),
            "Fn::Equals": lambda a: self.resolved(a[0]) == self.resolved(a[1]),
            "Fn::Not": lambda a: not self.resolved(a[0]),
            "Fn::Join": lambda a: a[0].join(self.resolved(a[1])),
            "Fn::Sub": self._sub,
        }

    def _ref(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _NOTHING
        if name in self.values:
            value = self.values[name]
            kind = self.template["Parameters"].get(name, {}).get("Type", "")
            return value.split(",") if kind == "CommaDelimitedList" else value
        if name not in self.template["Resources"]:
            raise invalid(f"Template format error: Unresolved resource dependencies [{name}]")
        return self.known(name, "")

    def _sub(self, given: Any) -> str:
        text, own = given if isinstance(given, list) else (given, {})

        def filled(match: re.Match[str]) -> str:
            if match[1]:
                return f"${{{match[2]}}}"
            name = match[2]
            return str(self.resolved(own[name]) if name in own else self._named(name))

        return _SUB.sub(filled, text)

    def _named(self, name: str) -> Any:
        resource, dot, attribute = name.partition(".")
        return self.known(resource, attribute) if dot else self._ref(name)


def _needs(data: Any) -> Iterator[str]:
    """The resources that one names."""
    if isinstance(data, list):
        for one in data:
            yield from _needs(one)
    if not isinstance(data, dict):
        return
    yield from data.get("DependsOn", [])
    for key, value in data.items():
        if key == "Ref":
            yield value
        elif key == "Fn::GetAtt":
            yield value[0]
        elif key == "Fn::Sub" and isinstance(value, str):
            yield from (m[2].partition(".")[0] for m in _SUB.finditer(value) if not m[1])
        else:
            yield from _needs(value)

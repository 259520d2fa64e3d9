"""CloudFormation templates: their functions, parameters and conditions, and the whole document."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.templates.placeholders import Parameter, parts, written

_PSEUDO = ("AccountId", "Partition", "Region", "StackName")


@dataclass(frozen=True)
class Stack:
    """A template by its sections. `values` are what placeholders stand for that are neither
    parameters nor pseudo parameters; `resources` may have placeholders."""

    description: str
    parameters: tuple[Parameter, ...]
    conditions: Mapping[str, Any]
    resources: Mapping[str, Any]
    outputs: Mapping[str, Any]
    values: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The whole as JSON data."""
        return {
            "AWSTemplateFormatVersion": "2010-09-09",
            "Description": self.description,
            "Parameters": {one.name: declared(one) for one in self.parameters},
            "Conditions": dict(self.conditions),
            "Resources": self.filled(self.resources),
            "Outputs": self.filled(self.outputs),
        }

    @property
    def text(self) -> str:
        """The whole as a file's text."""
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"

    def filled(self, data: Any) -> Any:
        """JSON data with functions in the place of placeholders."""
        return written(data, self._written)

    def _written(self, text: str) -> Any:
        found = parts(text)
        if not any(known_later for _, known_later in found):
            return literal(text)
        if len(found) == 1 and found[0][1]:
            return self._value(found[0][0])
        said = "".join(
            f"${{{_reference(piece)}}}" if known_later else piece.replace("${", "${!")
            for piece, known_later in found
        )
        own = {
            piece: self.values[piece] for piece, later in found if later and piece in self.values
        }
        return {"Fn::Sub": [said, own] if own else said}

    def _value(self, name: str) -> Any:
        return self.values.get(name, {"Ref": _reference(name)})


def literal(text: str) -> Any:
    """A text that is what it says. One that looks as if Fn::Sub were forgotten is joined, since
    linters warn of it."""
    return {"Fn::Join": ["${", text.split("${")]} if "${" in text else text


def declared(one: Parameter) -> dict[str, Any]:
    """A parameter as its section has it; one without a default must be given."""
    kinds = {bool: "String", int: "Number", float: "Number", tuple: "CommaDelimitedList"}
    default = ",".join(one.default) if isinstance(one.default, tuple) else one.default
    facts: dict[str, Any] = {"Type": kinds.get(type(one.default), "String"), "Default": default}
    facts |= {"AllowedValues": list(one.choices)} if one.choices else {}
    return {**facts, "Description": one.about}


def given(parameter: str) -> dict[str, Any]:
    """The condition that a parameter is not empty."""
    return {"Fn::Not": [empty(parameter)]}


def empty(parameter: str) -> dict[str, Any]:
    """The condition that a parameter is empty."""
    return {"Fn::Equals": [{"Ref": parameter}, ""]}


def choice(condition: str, yes: Any, no: Any) -> dict[str, Any]:
    """One of two values."""
    return {"Fn::If": [condition, yes, no]}


def attribute(resource: str, name: str) -> dict[str, Any]:
    """An attribute of a resource."""
    return {"Fn::GetAtt": [resource, name]}


def _reference(name: str) -> str:
    return f"AWS::{name}" if name in _PSEUDO else name

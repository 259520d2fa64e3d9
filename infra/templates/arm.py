"""Templates of Azure's resource manager: their expressions, values that become parameters, and the
whole document."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SCHEMA = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
_TYPES = {bool: "bool", int: "int", str: "string", list: "array", dict: "object"}


def quoted(text: str) -> str:
    """A text in an expression."""
    return "'" + text.replace("'", "''") + "'"


def call(function: str, *arguments: str) -> str:
    """A call in an expression; `arguments` are expressions."""
    return f"{function}({', '.join(arguments)})"


def parameter(name: str) -> str:
    """A parameter in an expression."""
    return call("parameters", quoted(name))


def variable(name: str) -> str:
    """A variable in an expression."""
    return call("variables", quoted(name))


def expression(inner: str) -> str:
    """A value that is an expression."""
    return f"[{inner}]"


def literal(value: Any) -> Any:
    """A value that is what it says, also where its texts look like expressions."""
    if isinstance(value, Mapping):
        return {key: literal(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [literal(inner) for inner in value]
    bracketed = isinstance(value, str) and value.startswith("[") and value.endswith("]")
    return f"[{value}" if bracketed else value


def declared(default: Any, description: str, **more: Any) -> dict[str, Any]:
    """A parameter with a default value, whose type it has."""
    facts = {"type": _TYPES[type(default)], "defaultValue": default, **more}
    return {**facts, "metadata": {"description": description}}


@dataclass(frozen=True)
class TemplateResource:
    """One resource of a template, which a plan calls by `kind` and `name`; `id` is the one that it
    gets with the default values, `document` how the template has it."""

    kind: str
    name: str
    id: str
    document: Mapping[str, Any]


@dataclass(frozen=True)
class Template:
    """A template with its parts."""

    parameters: Mapping[str, Mapping[str, Any]]
    variables: Mapping[str, Any]
    resources: tuple[TemplateResource, ...]
    outputs: Mapping[str, Any] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The whole as JSON data."""
        return {
            "$schema": SCHEMA,
            "contentVersion": "1.0.0.0",
            "parameters": dict(self.parameters),
            "variables": dict(self.variables),
            "resources": [dict(resource.document) for resource in self.resources],
            "outputs": dict(self.outputs),
        }

    @property
    def text(self) -> str:
        """The whole as a file's text."""
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"

    def without_defaults(self, names: Sequence[str]) -> Template:
        """The same, with parameters that must be given."""
        kept = {
            name: {k: v for k, v in facts.items() if k != "defaultValue" or name not in names}
            for name, facts in self.parameters.items()
        }
        return Template(kept, self.variables, self.resources, self.outputs)

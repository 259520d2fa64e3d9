"""Terraform configurations in JSON syntax: names as the AWS provider writes them, expressions in
the place of placeholders, and the whole document."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from onnxferry.infra.templates.placeholders import Parameter, parts, written

_WORDS = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_PROVIDER = {"aws": {"source": "hashicorp/aws", "version": ">= 5.0"}}
_DATA = {"aws_caller_identity": "current", "aws_region": "current", "aws_partition": "current"}
_PSEUDO = {
    "AccountId": "data.aws_caller_identity.current.account_id",
    "Region": "data.aws_region.current.id",
    "Partition": "data.aws_partition.current.partition",
}
_TYPES = {str: "string", int: "number", float: "number", tuple: "list(string)"}


@dataclass(frozen=True)
class Configuration:
    """A configuration by its sections: `resources` are type -> name -> arguments, and may have
    placeholders; `values` are the expressions of those that are no variables."""

    variables: tuple[Parameter, ...]
    locals: Mapping[str, str]
    resources: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Any]
    values: Mapping[str, str] = field(default_factory=dict)

    @property
    def document(self) -> dict[str, Any]:
        """The whole as JSON data."""
        return {
            "terraform": {"required_providers": _PROVIDER},
            "variable": {snake(one.name): _variable(one) for one in self.variables},
            "data": {kind: {name: {}} for kind, name in _DATA.items()},
            "locals": dict(self.locals),
            "resource": self.filled(self.resources),
            "output": dict(self.outputs),
        }

    @property
    def text(self) -> str:
        """The whole as a file's text."""
        return json.dumps(self.document, indent=2, ensure_ascii=False) + "\n"

    def filled(self, data: Any) -> Any:
        """JSON data with expressions in the place of placeholders; what else a text says is
        escaped."""
        return written(data, self._written)

    def _written(self, text: str) -> str:
        return "".join(
            expression(self._reference(piece)) if known_later else literal(piece)
            for piece, known_later in parts(text)
        )

    def _reference(self, name: str) -> str:
        return {**_PSEUDO, **self.values}.get(name, f"var.{snake(name)}")


def snake(name: str) -> str:
    """A name of AWS's as the provider writes it: instance_type for InstanceType."""
    return "_".join(_WORDS.split(name)).lower()


def arguments(data: Any) -> Any:
    """Parameters of a request as arguments and blocks of the provider."""
    if isinstance(data, Mapping):
        return {snake(key): arguments(value) for key, value in data.items()}
    return [arguments(one) for one in data] if isinstance(data, (list, tuple)) else data


def expression(inner: str) -> str:
    """A text that is an expression."""
    return f"${{{inner}}}"


def literal(text: str) -> str:
    """A text that is what it says, also where it looks like an expression."""
    return text.replace("${", "$${").replace("%{", "%%{")


def _variable(one: Parameter) -> dict[str, Any]:
    default = list(one.default) if isinstance(one.default, tuple) else one.default
    default = literal(default) if isinstance(default, str) else default
    facts = {"type": _TYPES[type(one.default)], "default": default, "description": one.about}
    return {**facts, **({"validation": _validation(one)} if one.choices else {})}


def _validation(one: Parameter) -> dict[str, str]:
    allowed, name = json.dumps(list(one.choices)), snake(one.name)
    condition = expression(f"contains({allowed}, var.{name})")
    return {"condition": condition, "error_message": f"{name} must be one of {allowed}."}

"""The language of templates, as far as it is used, and strictly: a function, a parameter or a
variable that there is not is an error, as the resource manager has it."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from tests.fakes.azure.login import TENANT

_TOKEN = re.compile(
    r"\s*(?:(?P<text>'(?:[^']|'')*')|(?P<number>-?\d+)|(?P<name>[A-Za-z]\w*)|(?P<mark>[()\[\],.]))"
)
_GUIDS = uuid.UUID("11fb06fb-712d-4ddd-98c7-e71bbd588830")
_NOW = "yyyy-MM-ddTHH:mm:ss+00:00"


class TemplateError(Exception):
    """What the resource manager calls an invalid template."""


class Unresolved(Exception):
    """What is known only when another resource is there."""


@dataclass
class Context:
    """What expressions refer to. `reference` gives a resource by its id, API version and whether in
    full, or raises Unresolved; `asked` are the ids that it was asked for."""

    subscription: str
    group: str
    suffix: str
    login: str
    parameters: Mapping[str, Any]
    variables: Mapping[str, Any]
    reference: Callable[[str, str, bool], Any]
    location: str = ""
    asked: list[str] = field(default_factory=list)

    @property
    def group_id(self) -> str:
        return f"/subscriptions/{self.subscription}/resourceGroups/{self.group}"


def evaluated(value: Any, context: Context, *, keep: bool = False) -> Any:
    """`value` with its expressions evaluated; with `keep`, those that cannot be yet stay as they
    are, as what-if shows them."""
    if isinstance(value, dict):
        pairs = ((evaluated(key, context), inner) for key, inner in value.items())
        return {key: evaluated(inner, context, keep=keep) for key, inner in pairs}
    if isinstance(value, list):
        return [evaluated(inner, context, keep=keep) for inner in value]
    if not (isinstance(value, str) and value.startswith("[") and value.endswith("]")):
        return value
    if value.startswith("[["):
        return value[1:]
    try:
        return _Parser(value[1:-1], context).whole()
    except Unresolved:
        if keep:
            return value
        raise


class _Parser:
    """Reads one expression, and evaluates it as it goes."""

    def __init__(self, text: str, context: Context) -> None:
        self._text, self._context = text, context
        self._tokens = list(_tokens(text))

    def whole(self) -> Any:
        value = self._value()
        if self._tokens:
            raise TemplateError(f"'{self._text}': unexpected '{self._tokens[0][1]}'")
        return value

    def _value(self) -> Any:
        kind, text = self._next()
        if kind == "text":
            value: Any = text[1:-1].replace("''", "'")
        elif kind == "number":
            value = int(text)
        elif kind == "name":
            value = self._call(text)
        else:
            raise TemplateError(f"'{self._text}': unexpected '{text}'")
        while self._tokens and self._tokens[0][1] in (".", "["):
            value = self._member(value)
        return value

    def _call(self, name: str) -> Any:
        self._expect("(")
        arguments = []
        while self._tokens and self._tokens[0][1] != ")":
            arguments.append(self._value())
            if self._tokens and self._tokens[0][1] == ",":
                self._next()
        self._expect(")")
        if name not in FUNCTIONS:
            raise TemplateError(f"The template function '{name}' is not valid.")
        return FUNCTIONS[name](self._context, *arguments)

    def _member(self, value: Any) -> Any:
        _, mark = self._next()
        if mark == ".":
            key: Any = self._next()[1]
        else:
            key = self._value()
            self._expect("]")
        try:
            return value[key]
        except (KeyError, IndexError, TypeError):
            known = sorted(value) if isinstance(value, Mapping) else type(value).__name__
            raise TemplateError(
                f"The language expression property '{key}' doesn't exist, available: {known}"
            ) from None

    def _next(self) -> tuple[str, str]:
        if not self._tokens:
            raise TemplateError(f"'{self._text}': it ends too early")
        return self._tokens.pop(0)

    def _expect(self, mark: str) -> None:
        if self._next()[1] != mark:
            raise TemplateError(f"'{self._text}': '{mark}' is expected")


def _tokens(text: str) -> Iterator[tuple[str, str]]:
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise TemplateError(f"'{text}': unexpected '{text[at:]}'")
        yield found.lastgroup, found[found.lastgroup]
        at = found.end()


def _parameters(context: Context, name: str) -> Any:
    if name not in context.parameters:
        raise TemplateError(f"The template parameter '{name}' is not found.")
    return context.parameters[name]


def _variables(context: Context, name: str) -> Any:
    if name not in context.variables:
        raise TemplateError(f"The template variable '{name}' is not found.")
    return evaluated(context.variables[name], context)


def _resource_id(context: Context, type_: str, *names: str) -> str:
    provider, *kinds = type_.split("/")
    if len(kinds) != len(names):
        raise TemplateError(f"resourceId: type '{type_}' takes {len(kinds)} names, got {names}")
    below = "/".join(part for pair in zip(kinds, names, strict=True) for part in pair)
    return f"{context.group_id}/providers/{provider}/{below}"


def _subscription_id(context: Context, type_: str, name: str) -> str:
    return f"/subscriptions/{context.subscription}/providers/{type_}/{name}"


def _reference(context: Context, id_: str, version: str = "", full: str = "") -> Any:
    if full not in ("", "Full"):
        raise TemplateError(f"reference: '{full}' is no choice")
    context.asked.append(id_)
    return context.reference(id_, version, bool(full))


def _union(context: Context, *values: Any) -> Any:
    if not all(isinstance(value, dict) for value in values):
        raise TemplateError(f"union: objects are expected, got {values}")
    return {key: inner for value in values for key, inner in value.items()}


def _create_object(context: Context, *values: Any) -> Any:
    if len(values) % 2:
        raise TemplateError("createObject: an even number of arguments is expected")
    return dict(zip(values[::2], values[1::2], strict=True))


def _concat(context: Context, *values: Any) -> str:
    if not all(isinstance(value, (str, int)) for value in values):
        raise TemplateError(f"concat: texts are expected, got {values}")
    return "".join(map(str, values))


def _lower(context: Context, text: str) -> str:
    return text.lower()


def _guid(context: Context, *parts: str) -> str:
    return str(uuid.uuid5(_GUIDS, "-".join(parts)))


def _not(context: Context, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TemplateError(f"not: a bool is expected, got {value!r}")
    return not value


def _and(context: Context, *values: Any) -> bool:
    if len(values) < 2 or not all(isinstance(value, bool) for value in values):
        raise TemplateError(f"and: two bools or more are expected, got {values}")
    return all(values)


def _if(context: Context, condition: Any, yes: Any, no: Any) -> Any:
    if not isinstance(condition, bool):
        raise TemplateError(f"if: a bool is expected, got {condition!r}")
    return yes if condition else no


def _replace(context: Context, text: str, old: str, new: str) -> str:
    return text.replace(old, new)


def _resource_group(context: Context) -> Any:
    return {"id": context.group_id, "name": context.group, "location": context.location}


def _empty(context: Context, value: Any) -> bool:
    return len(value) == 0


def _environment(context: Context) -> Any:
    login = {"loginEndpoint": context.login}
    return {"name": "FakeCloud", "suffixes": {"storage": context.suffix}, "authentication": login}


def _subscription(context: Context) -> Any:
    return {"subscriptionId": context.subscription, "tenantId": TENANT}


def _now(context: Context, form: str) -> str:
    """Allowed in default values of parameters alone, of which there are none yet then."""
    if context.parameters or form != _NOW:
        raise TemplateError(f"utcNow('{form}'): not here, or not that")
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S+00:00")


FUNCTIONS: Mapping[str, Callable[..., Any]] = {
    "and": _and,
    "concat": _concat,
    "createObject": _create_object,
    "empty": _empty,
    "environment": _environment,
    "guid": _guid,
    "if": _if,
    "not": _not,
    "parameters": _parameters,
    "reference": _reference,
    "replace": _replace,
    "resourceGroup": _resource_group,
    "resourceId": _resource_id,
    "subscription": _subscription,
    "subscriptionResourceId": _subscription_id,
    "toLower": _lower,
    "union": _union,
    "utcNow": _now,
    "variables": _variables,
}

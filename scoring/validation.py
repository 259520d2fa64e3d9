"""Readers of a decoded request: each takes a value and the name of its field (`where`) and returns
the value, or raises InvalidType or InvalidValue that names the field."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from onnxferry.scoring import limits, timing
from onnxferry.scoring.errors import InvalidType, InvalidValue, MissingField

T = TypeVar("T")
LARGEST = 2**31 - 1

_NAMES = {
    dict: "an object",
    list: "a list",
    str: "a string",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    type(None): "null",
    bytes: "bytes",
}


def kind(value: object) -> str:
    """The JSON type of a value, for messages."""
    return _NAMES.get(type(value), type(value).__name__)


def mapping(value: object, where: str) -> Mapping[str, Any]:
    """A JSON object; `where` gets no quotes in the message."""
    if not isinstance(value, dict):
        raise InvalidType(f"{where} must be an object, got {kind(value)}")
    return value


def member(data: Mapping[str, Any], key: str, where: str = "") -> Any:
    """data[key]. Raises MissingField."""
    if key not in data:
        came = ", ".join(repr(str(name)[:40]) for name in list(data)[:10])
        raise MissingField(f"'{where}{key}' is missing; got field(s) {came or 'none'}")
    return data[key]


def string(value: object, where: str) -> str:
    """A string that has a UTF-8 form, as JSON's escapes need not have."""
    if not isinstance(value, str):
        raise InvalidType(f"'{where}' must be a string, got {kind(value)}")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError as e:
        raise InvalidValue(f"'{where}' holds half of a surrogate pair") from e
    return value


def text(value: object, where: str) -> str:
    """A string that holds something besides white space."""
    if isinstance(value, str) and not value.strip():
        raise InvalidValue(f"'{where}' is empty; expected text")
    return string(value, where)


def one_or_list(
    value: object, read: Callable[[Any, str], T], limit: int, where: str = "inputs"
) -> tuple[list[T], bool]:
    """The request's items, each read by `read` and counted for the log, and whether a list came.
    Raises TooLarge."""
    timing.count(items=len(value) if isinstance(value, list) else 1)
    return uncounted(value, read, limit, where)


def uncounted(
    value: object, read: Callable[[Any, str], T], limit: int, where: str
) -> tuple[list[T], bool]:
    """As `one_or_list`, of what is no item by itself."""
    if not isinstance(value, list):
        return [read(value, where)], False
    if not value:
        raise InvalidValue(f"'{where}' is an empty list; expected at least one item")
    if len(value) > limit:
        raise limits.exceeded(f"'{where}' has {len(value)} items", limit, "items")
    return [read(item, f"{where}[{i}]") for i, item in enumerate(value)], True


@dataclass(frozen=True)
class Parameter:
    """How one parameter or setting is read. null means the default, as in transformers' pipelines,
    unless `null` says that it is a value."""

    read: Callable[[object, str], Any]
    default: Any = None
    null: bool = False

    def take(self, values: Mapping[str, Any], name: str, where: str = "") -> Any:
        """values[name] as read, or the default where it is absent."""
        if name not in values or (values[name] is None and not self.null):
            return self.default
        return self.read(values[name], where + name)


def parameters(data: Mapping[str, Any], known: Mapping[str, Parameter]) -> dict[str, Any]:
    """The request's `parameters` with the defaults of the absent ones; unknown ones are refused."""
    values = data.get("parameters")
    values = {} if values is None else mapping(values, "'parameters'")
    if unknown := sorted(set(values) - set(known)):
        named = ", ".join(repr(name[:40]) for name in unknown[:5])
        listed = ", ".join(sorted(known)) or "none"
        raise InvalidValue(f"unknown parameter(s) {named}; known: {listed}")
    return {name: entry.take(values, name, "parameters.") for name, entry in known.items()}


def flag(value: object, where: str) -> bool:
    """true or false."""
    if not isinstance(value, bool):
        raise InvalidType(f"'{where}' must be a boolean, got {kind(value)}")
    return value


def positive(value: object, where: str) -> int:
    """An integer from 1 to LARGEST."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidType(f"'{where}' must be an integer, got {kind(value)}")
    if not 1 <= value <= LARGEST:
        raise InvalidValue(f"'{where}' must be between 1 and {LARGEST}, got {str(value)[:20]}")
    return value


def natural(value: object, where: str) -> int:
    """An integer from 0 to LARGEST."""
    return 0 if type(value) is int and value == 0 else positive(value, where)


def positive_or_null(value: object, where: str) -> int | None:
    """An integer from 1 to LARGEST, or null."""
    return None if value is None else positive(value, where)


def number(value: object, where: str) -> float:
    """A number from -LARGEST to LARGEST."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidType(f"'{where}' must be a number, got {kind(value)}")
    if not abs(value) <= LARGEST:
        raise InvalidValue(f"'{where}' must be between -{LARGEST} and {LARGEST}")
    return float(value)


def strings(value: object, where: str) -> list[str]:
    """A list of strings, or one string as a list of one."""
    items: list[Any] = value if isinstance(value, list) else [value]
    if wrong := [item for item in items if not isinstance(item, str)]:
        raise InvalidType(f"'{where}' must be a string or a list of strings, got {kind(wrong[0])}")
    return [string(item, where) for item in items]


def one_of(*choices: str) -> Callable[[object, str], str]:
    """A reader that takes one of `choices`, which are lower-case, in any case."""

    def read(value: object, where: str) -> str:
        chosen = string(value, where).lower()
        if chosen not in choices:
            raise InvalidValue(f"'{where}' must be one of {', '.join(choices)}")
        return chosen

    return read

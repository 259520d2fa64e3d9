"""Values that are known when a template is deployed, in requests that are made before: each stands
in a text as a placeholder, which each kind of template writes in its own way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_MARK = "\ue000"  # which stands in no name, and JSON text can hold
Part = tuple[str, bool]
Value = bool | int | float | str | tuple[str, ...]


@dataclass(frozen=True)
class Parameter:
    """What who deploys a template may choose. `default` is what deploy.toml says; `choices` are all
    the values that there are, where they are few."""

    name: str
    default: Value
    about: str
    choices: tuple[Value, ...] = ()


def placeholder(name: str) -> str:
    """The text that stands for the value `name`."""
    return f"{_MARK}{name}{_MARK}"


def parts(text: str) -> list[Part]:
    """The parts of a text in order: what it says, and names of values (True)."""
    pieces = text.split(_MARK)
    return [(piece, i % 2 == 1) for i, piece in enumerate(pieces) if piece]


def plain(text: str) -> str:
    """A text without its placeholders."""
    return "".join(piece for piece, known_later in parts(text) if not known_later)


def written(data: Any, write: Callable[[str], Any]) -> Any:
    """JSON data with each text as `write` has it."""
    if isinstance(data, Mapping):
        return {key: written(value, write) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [written(value, write) for value in data]
    return write(data) if isinstance(data, str) else data


def replaced(data: Any, texts: Mapping[str, str]) -> Any:
    """JSON data with some whole `texts` replaced by others."""
    return written(data, lambda text: texts.get(text, text))

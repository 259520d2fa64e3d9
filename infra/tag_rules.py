"""The user's tags: what each cloud takes, so that nothing is made before a tag is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from onnxferry.infra.environment_variables import problem

OWN = "onnxferry"  # how the tags begin that deploying puts beside the user's
MOST = 40  # a cloud takes 50 on a thing, and some are ours
_VALUE = 256


@dataclass(frozen=True)
class TagRules:
    """What one cloud takes: names of at most `longest` characters that do not begin with one of
    `reserved`, names and values that `allowed` matches, and in words what that is."""

    longest: int
    reserved: tuple[str, ...]
    name: str
    value: str
    words: str


AWS = TagRules(
    128,
    ("aws:", OWN),
    *(r"[\w\s+\-=.:/@]+", r"[\w\s+\-=.:/@]*"),
    "letters, digits, spaces and + - = . _ : / @",
)
AZURE = TagRules(
    512,
    ("microsoft", "azure", "windows", OWN),
    *(r"[^<>%&\\?/]+", r".*"),
    r"anything but < > % & \ ? / in a name",
)
STORAGE = TagRules(128, AZURE.reserved, AZURE.name, AZURE.value, AZURE.words)


def checked(given: Any, rules: TagRules) -> Any:
    """`given`, a table of tags, as it is. Raises ValidationError with a line for each that breaks
    the `rules`, and PydanticCustomError for what is no table."""
    if not isinstance(given, Mapping):
        raise problem(f'a table of names and texts is expected, like team = "ml"; got {given!r:.80}')
    wrong = [(name, text) for name, value in given.items() for text in _problems(name, value, rules)]
    names = [str(name).casefold() for name in given]
    wrong += [
        (name, "is there twice, but for capitals; the cloud counts them as one")
        for name in given
        if names.count(str(name).casefold()) > 1
    ]
    if len(given) > MOST:
        raise problem(f"{len(given)} tags; a cloud takes 50, and deploying adds some: {MOST} at most")
    if wrong:
        details = [InitErrorDetails(type=problem(text), loc=(name,), input=name) for name, text in wrong]
        raise ValidationError.from_exception_data("tags", details)
    return given


def _problems(name: str, value: Any, rules: TagRules) -> Iterator[str]:
    if name.lower().startswith(rules.reserved):
        begin = next(start for start in rules.reserved if name.lower().startswith(start))
        yield f"names that begin with {begin} are reserved; choose another name"
    if not re.fullmatch(rules.name, name):
        yield f"a tag's name has {rules.words}"
    if len(name) > rules.longest:
        yield f"a tag's name has at most {rules.longest} characters here; got {len(name)}"
    if not isinstance(value, str):
        yield f'a tag\'s value is a text, in quotes like "ml"; got {value!r:.80}'
    elif len(value) > _VALUE:
        yield f"a tag's value has at most {_VALUE} characters; got {len(value)}"
    elif not re.fullmatch(rules.value, value, re.DOTALL):
        yield f"a tag's value has {rules.words}; got {value!r:.80}"

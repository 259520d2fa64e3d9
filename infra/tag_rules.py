"""The user's tags: what each cloud takes, so that nothing is made before a tag is refused."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails

from onnxferry.infra.environment_variables import TABLE, problem

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
    longest=128,
    reserved=("aws:", OWN),
    name=r"[\w +\-=.:/@]+",
    value=r"[\w +\-=.:/@]*",
    words="letters, digits, spaces and + - = . _ : / @",
)
AZURE = TagRules(
    longest=512,
    reserved=("microsoft", "azure", "windows", OWN),
    name=r"[^<>%&\\?/]+",
    value=r".*",
    words=r"any characters but < > % & \ ? /",
)
MLFLOW = TagRules(
    longest=250,
    reserved=("mlflow.", OWN),
    name=r"[\w /.:-]+",
    value=r".*",
    words="letters, digits, spaces and / . : _ -",
)
STORAGE = replace(AZURE, longest=128)  # and what else a storage account's tags are given to


def checked(given: Any, rules: TagRules) -> Any:
    """`given`, a table of tags, as it is. Raises ValidationError with a line for each that breaks
    the `rules`, and PydanticCustomError for what is no table."""
    if not isinstance(given, Mapping):
        raise problem(f"{TABLE}; got {given!r:.80}")
    if len(given) > MOST:
        raise problem(f"{len(given)} tags; a cloud takes 50, of which {MOST} are yours")
    names = Counter(name.casefold() for name in given)
    wrong = [
        InitErrorDetails(type=problem(text), loc=(name,), input=name)
        for name, value in given.items()
        for text in _problems(name, value, rules, twice=names[name.casefold()] > 1)
    ]
    if wrong:
        raise ValidationError.from_exception_data("tags", wrong)
    return given


def _problems(name: str, value: Any, rules: TagRules, *, twice: bool) -> Iterator[str]:
    if twice:
        yield "given twice, in other capitals; a cloud counts them as one"
    if begin := next((one for one in rules.reserved if name.lower().startswith(one)), ""):
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

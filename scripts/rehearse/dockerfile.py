"""Read a Dockerfile as far as ours go: what is to be copied and run, in order, and what the image
then says of itself. An instruction or a form that is not known here is refused, not passed over."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from onnxferry.system.errors import RehearsalError

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")


@dataclass(frozen=True)
class Step:
    """COPY or RUN: its words, and the image as it is then."""

    name: str
    words: tuple[str, ...]
    image: Image


@dataclass(frozen=True)
class Image:
    """What the instructions so far make. `health` is HEALTHCHECK's command."""

    base: str = ""
    arguments: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    folder: str = "/"
    user: str = "0"
    port: str = ""
    health: tuple[str, ...] = ()
    entry: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()

    def path(self, name: str) -> PurePosixPath:
        """`name`, where it is not absolute in the working folder."""
        return PurePosixPath(self.folder, name)


def read(path: Path) -> Image:
    """The image that a Dockerfile describes. Raises RehearsalError with the line that is not
    understood."""
    image = Image()
    for number, line in _lines(path.read_text(encoding="utf-8")):
        name, _, text = line.partition(" ")
        try:
            image = _INSTRUCTIONS[name](image, text.strip())
        except KeyError as e:
            known = ", ".join(_INSTRUCTIONS)
            what = f"{path}, line {number}: no instruction that is rehearsed: {name}"
            raise RehearsalError(f"{what}; these are: {known}. Build it by docker build") from e
        except ValueError as e:
            raise RehearsalError(f"{path}, line {number}: {line}: {e}") from e
    return image


def _lines(text: str) -> Iterator[tuple[int, str]]:
    """Each instruction in one line, with the number of its first."""
    begun, whole = 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        begun = begun if whole else number
        whole += line.strip()
        if whole.endswith("\\"):
            whole = whole[:-1].rstrip() + " "
            continue
        yield begun, whole
        whole = ""


def _from(image: Image, text: str) -> Image:
    if image.base:
        raise ValueError("a second stage, which ours do not have")
    return replace(image, base=_filled(text, image.arguments))


def _argument(image: Image, text: str) -> Image:
    name, given, value = text.partition("=")
    known = {name: value} if given else {}
    return replace(image, arguments={**image.arguments, **known})


def _pairs(image: Image, text: str) -> dict[str, str]:
    known = {**image.arguments, **image.variables}
    words = [word.partition("=") for word in shlex.split(text)]
    if odd := [name for name, equals, _ in words if not equals]:
        raise ValueError(f"{odd[0]!r} has no value; write NAME=VALUE")
    return {name: _filled(value, known) for name, _, value in words}


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2], ""), text)


def _copy(image: Image, text: str) -> Image:
    words = tuple(text.split())
    if len(words) != 2 or words[0].startswith("--"):
        raise ValueError("write COPY FROM TO, without options, which need BuildKit")
    return replace(image, steps=(*image.steps, Step("COPY", words, image)))


def _run(image: Image, text: str) -> Image:
    return replace(image, steps=(*image.steps, Step("RUN", _words(text), image)))


def _words(text: str) -> tuple[str, ...]:
    """The exec form, or a line for the shell."""
    if not text.startswith("["):
        return ("/bin/sh", "-c", text)
    words = json.loads(text)
    if not words or not all(isinstance(word, str) for word in words):
        raise ValueError("the exec form is a list of strings")
    return tuple(words)


def _health(image: Image, text: str) -> Image:
    options, found, command = text.partition("CMD ")
    if not found or not all(word.startswith("--") for word in options.split()):
        raise ValueError("write HEALTHCHECK --OPTION=VALUE... CMD COMMAND")
    return replace(image, health=_words(command))


_INSTRUCTIONS: Mapping[str, Callable[[Image, str], Image]] = {
    "FROM": _from,
    "ARG": _argument,
    "LABEL": lambda image, text: replace(image, labels={**image.labels, **_pairs(image, text)}),
    "ENV": lambda image, text: replace(image, variables={**image.variables, **_pairs(image, text)}),
    "WORKDIR": lambda image, text: replace(image, folder=str(image.path(text))),
    "COPY": _copy,
    "RUN": _run,
    "USER": lambda image, text: replace(image, user=text),
    "EXPOSE": lambda image, text: replace(image, port=text),
    "HEALTHCHECK": _health,
    "ENTRYPOINT": lambda image, text: replace(image, entry=_words(text)),
    "CMD": lambda image, text: replace(image, command=_words(text)),
}

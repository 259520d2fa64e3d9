"""What one request may cost, checked before the work. A model (`limits` in model_spec.json) and a
deployment (ONNXFERRY_LIMIT_*) may set `Limits`; the constants hold for all."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from onnxferry.scoring.errors import ModelError, TooLarge

MAX_NUMBERS = 4_000_000  # of one answer of arrays: as JSON some 80 MB
MAX_ANSWERS = 10_000  # of one request: questions, or masks, x top_k
MAX_SEQUENCES = 8192  # that one request may make of its texts (windows, hypotheses)


@dataclass(frozen=True)
class Limits:
    """Of one request. `body_bytes` holds for the body as it comes and when decompressed."""

    body_bytes: int = 5_000_000  # under SageMaker's 6 MB, the smallest of the platforms' limits
    items: int = 1024
    tokens: int = 100_000  # of one item, before it is truncated or read in windows
    pixels: int = 50_000_000  # of one image

    @staticmethod
    def read(data: Mapping[str, int]) -> Limits:
        """From model_spec.json. Raises ValueError or TypeError that names the key."""
        if wrong := [key for key, value in data.items() if type(value) is not int or value < 1]:
            raise ValueError(f"limits.{wrong[0]} must be an integer of at least 1")
        return Limits(**data)

    def overridden(self, environment: Mapping[str, str]) -> Limits:
        """With ONNXFERRY_LIMIT_* variables. Raises ModelError that names the wrong one."""
        names = {variable(f.name): f.name for f in fields(Limits)}
        limits = {}
        for name in (name for name in environment if name.startswith(variable(""))):
            if name not in names:
                raise ModelError(f"{name} sets no limit; known: {', '.join(names)}")
            value = environment[name].strip()
            if not re.fullmatch("[0-9]{1,18}", value) or not int(value):
                raise ModelError(f"{name} must be an integer of at least 1, got '{value[:40]}'")
            limits[names[name]] = int(value)
        return replace(self, **limits)


def variable(name: str) -> str:
    """The environment variable that sets the limit `name`."""
    return f"ONNXFERRY_LIMIT_{name.upper()}"


def exceeded(what: str, limit: int, name: str) -> TooLarge:
    """An error: `what` came, and the limit `name` is `limit`."""
    most = f"this model takes at most {limit} (limits.{name})"
    return TooLarge(f"{what}; {most}; a host sets it by {variable(name)}")


def check_sequences(count: int, what: str, advice: str) -> None:
    """Raise TooLarge for more than MAX_SEQUENCES sequences."""
    if count > MAX_SEQUENCES:
        raise TooLarge(f"{what}, and one request gets at most {MAX_SEQUENCES}; {advice}")


def check_answers(count: int, what: str, top_k: int) -> None:
    """Raise TooLarge when `count` of `what` with `top_k` are more than MAX_ANSWERS answers."""
    if count * top_k > MAX_ANSWERS:
        asked = f"{count} {what} with 'parameters.top_k' {top_k}"
        raise TooLarge(f"{asked} ask for more than {MAX_ANSWERS} answers")

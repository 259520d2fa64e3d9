"""The `settings` of model_spec.json, read when the model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.scoring import validation
from onnxferry.scoring.errors import InvalidValue, ScoringError
from onnxferry.scoring.validation import Parameter

REQUIRED = object()  # the default of a key that a spec must have
SIDE = validation.one_of("left", "right")
MIN_LENGTH = 8  # tokens of a sequence: room for the special ones and some text


def _length(value: object, where: str) -> int:
    length = validation.positive(value, where)
    if length < MIN_LENGTH:
        raise InvalidValue(f"'{where}' must be at least {MIN_LENGTH} tokens, got {length}")
    return length


def _token(value: object, where: str) -> int | None:
    return None if value is None else validation.natural(value, where)


TEXT: Mapping[str, Parameter] = {
    "max_length": Parameter(_length, REQUIRED),
    "pad_token_id": Parameter(_token, 0, null=True),
    "pad_token_type_id": Parameter(validation.natural, 0),
    "padding_side": Parameter(SIDE, "right"),
    "truncation_side": Parameter(SIDE, "right"),
    "token_type_ids": Parameter(validation.flag, True),
    "split_special_tokens": Parameter(validation.flag, False),
}
"""Every text task's. Batches are padded on the right, where the attention mask hides it. With
`padding_side` left (a graph that reads the last position), or `pad_token_id` null, they are not
padded: only texts of one length share a run, which is right for any graph. A graph of one fixed
length is padded on `padding_side`."""


def read(settings: Mapping[str, Any], known: Mapping[str, Parameter]) -> dict[str, Any]:
    """The settings of `known` with the defaults of those that are absent. Raises ValueError for a
    key that is unknown, missing, or holds something else."""
    if unknown := ", ".join(sorted(set(settings) - set(known))):
        raise ValueError(f"unknown setting(s) {unknown}; known: {', '.join(sorted(known))}")
    try:
        values = {name: entry.take(settings, name, "settings.") for name, entry in known.items()}
    except ScoringError as e:
        raise ValueError(str(e)) from e
    if missing := [name for name, value in values.items() if value is REQUIRED]:
        raise ValueError(f"'settings.{missing[0]}' is missing")
    return values

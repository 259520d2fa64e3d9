"""The `settings` of model_spec.json, read with the same readers as a request's parameters, when the
model is loaded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.scoring import validation
from onnxferry.scoring.errors import InvalidValue, ScoringError
from onnxferry.scoring.validation import Parameter

REQUIRED = object()  # the default of a key that a spec must have

SHORTEST = 8  # tokens of a sequence: room for the special ones and some text


def _length(value: object, where: str) -> int:
    length = validation.positive(value, where)
    if length < SHORTEST:
        raise InvalidValue(f"'{where}' must be at least {SHORTEST} tokens, got {length}")
    return length


TEXT: Mapping[str, Parameter] = {
    "max_length": Parameter(_length, REQUIRED),
    "pad_token_id": Parameter(validation.natural, 0),
    "pad_token_type_id": Parameter(validation.natural, 0),
    "padding_side": Parameter(validation.one_of("left", "right"), "right"),
}
"""What every text task has: the most tokens of a sequence, special ones included, and what fills a
batch. Whichever side the model was trained to be padded on, batches are padded on the right: the
attention mask makes it the same."""


def read(given: Mapping[str, Any], known: Mapping[str, Parameter]) -> dict[str, Any]:
    """The settings of `known`, each checked, with the defaults of those that are absent.

    Raises ValueError that names the key: an unknown one, one that is missing, or one that holds
    something else.
    """
    if unknown := sorted(set(given) - set(known)):
        raise ValueError(
            f"unknown setting(s) {', '.join(unknown)}; known: {', '.join(sorted(known))}"
        )
    try:
        taken = {name: entry.take(given, name, "settings.") for name, entry in known.items()}
    except ScoringError as e:
        raise ValueError(str(e)) from e
    if missing := [name for name, value in taken.items() if value is REQUIRED]:
        raise ValueError(f"'settings.{missing[0]}' is missing")
    return taken

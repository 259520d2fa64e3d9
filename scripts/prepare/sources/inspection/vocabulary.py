"""The tokens of a tokenizer against the embeddings of its model: one token more, added to the
tokenizer and not to the model, and texts that hold it get no answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.system.errors import PrepareError

_ADVICE = (
    "resize the model, model.resize_token_embeddings(len(tokenizer)), and save both, or remove the"
    " token from the tokenizer"
)


def highest(tokenizer_json: str) -> tuple[str, int]:
    """The token with the highest id in a tokenizer.json, and its id."""
    data = json.loads(tokenizer_json)
    ids = dict(_vocabulary(data["model"].get("vocab") or {}))
    ids |= {entry["content"]: entry["id"] for entry in data.get("added_tokens") or ()}
    return max(ids.items(), key=lambda entry: entry[1], default=("", 0))


def _vocabulary(vocabulary: Any) -> Mapping[str, int]:
    """Of a model: an object, or Unigram's list of [token, score]."""
    if isinstance(vocabulary, dict):
        return vocabulary
    return {entry[0]: i for i, entry in enumerate(vocabulary)}


def message(token: str, last: int, known: str) -> str:
    """For a token with the id `last` that is beyond what is `known`."""
    has = f"the tokenizer has {last + 1} tokens, the last of which is {token!r} with id {last}"
    return f"{has}: {known}. {_ADVICE[0].upper()}{_ADVICE[1:]}"


def check(source: ModelSource) -> None:
    """Raise PrepareError where the tokenizer of `source` has tokens beyond the `vocab_size` of its
    configuration."""
    size = source.config.get("vocab_size")
    if not source.tokenizer or not isinstance(size, int):
        return
    token, last = highest(source.tokenizer.json)
    if last >= size:
        raise PrepareError(message(token, last, f"the model has embeddings for {size} tokens"))

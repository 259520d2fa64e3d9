"""The padding token of a model: one resolution of configuration, tokenizer and the user's settings,
for the graph that is exported and for what is fed to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import UsageError

# Tasks whose decoder models read the last token that is not padding.
READ_LAST_TOKEN = ("text-classification", "zero-shot-classification", "text-ranking")
# Heads that read the last position, whatever stands there.
_READ_LAST_POSITION = {"xlnet"}
# Whose convolutions, or means over a text, take in the padding beside it, whatever the mask says.
_READ_PADDING = {"convbert", "nystromformer"}


def resolve_pad_token(
    task: str, tokenizer: TextTokenizer, config: Mapping[str, Any], given: Mapping[str, Any]
) -> int | None:
    """The id of the padding token: the user's, the configuration's or the tokenizer's; None where
    there is none, and texts share no run with shorter ones. Raises UsageError for a user's that the
    model has no embedding for.

    Where a head reads the last token that is not padding, a token that the tokenizer itself puts
    into every text is no padding token, unless the model's own configuration says so.
    """
    if "pad_token_id" in given:
        return _asked(given["pad_token_id"], config)
    if config.get("model_type") in _READ_PADDING:
        return None
    configured, found = config.get("pad_token_id"), tokenizer.pad_token_id
    if _embedded(configured, config):
        return configured
    if task in READ_LAST_TOKEN and found in _put_into_every_text(tokenizer.json):
        return None
    return found if _embedded(found, config) else None


def _asked(token: int | None, config: Mapping[str, Any]) -> int | None:
    if token is not None and not _embedded(token, config):
        held = f"the model has embeddings for {config['vocab_size']} tokens"
        raise UsageError(f"--settings: pad_token_id is {token}, but {held}")
    return token


def _embedded(token: object, config: Mapping[str, Any]) -> bool:
    """Whether the model can be fed a token; some configurations hold -1 for none."""
    size = config.get("vocab_size")
    return isinstance(token, int) and 0 <= token < (size or token + 1)


def padding_side(tokenizer: TextTokenizer, config: Mapping[str, Any]) -> str:
    """The side of a model that is exported here. Its attention mask hides padding on the right from
    every token, and a decoder's tokens do not see what follows them: so the tokenizer's left side
    counts only for a head that reads the last position."""
    return tokenizer.padding_side if config.get("model_type") in _READ_LAST_POSITION else "right"


def _put_into_every_text(tokenizer_json: str) -> set[int]:
    """The ids that the post-processor adds."""
    return set(_ids(json.loads(tokenizer_json).get("post_processor") or {}))


def _ids(processor: Mapping[str, Any]) -> Iterator[int]:
    for token in (processor.get("special_tokens") or {}).values():
        yield from token["ids"]
    for name in ("cls", "sep"):
        if isinstance(pair := processor.get(name), list):
            yield pair[1]
    for inner in processor.get("processors") or ():
        yield from _ids(inner)

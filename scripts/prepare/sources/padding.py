"""The padding token of a model: one resolution of configuration, tokenizer and the user's settings,
for the graph that is exported and for what is fed to it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from onnxferry.scripts.prepare.sources.source import TextTokenizer

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
    there is none, and texts share no run with shorter ones.

    Where a head reads the last token that is not padding, a token that the tokenizer itself puts
    into every text is no padding token, unless the model's own configuration says so.
    """
    if "pad_token_id" in given:
        return given["pad_token_id"]  # type: ignore[no-any-return]  # read as an integer or null
    if config.get("model_type") in _READ_PADDING:
        return None
    configured = config.get("pad_token_id")
    size = config.get("vocab_size")
    if isinstance(configured, int) and 0 <= configured < (size or configured + 1):
        return configured
    found = tokenizer.pad_token_id
    if task in READ_LAST_TOKEN and found in _put_into_every_text(tokenizer.json):
        return None
    return found


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

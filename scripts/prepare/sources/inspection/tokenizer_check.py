"""Whether tokenizer.json alone, as a host reads it, gives the tokens that transformers gives for
the whole folder: a tokenizer's configuration, or its class, may do more than the file can hold."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from onnxferry.scoring.manifest import TOKENIZER_FILE
from onnxferry.scoring.tokenization import Reading, Text, Tokenizer
from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import PrepareError

PROBES: Sequence[Text] = (
    "Good morning, Ångström!",
    "  two spaces, a\ttab\nand a line's END ",
    "naïve café 東京 😀 1946 don't",
    ("Is it a PAIR?", "It is."),
)
_SAYS = (  # keys of a configuration that change tokens
    *("add_bos_token", "add_eos_token", "add_prefix_space", "do_lower_case", "strip_accents"),
    *("split_special_tokens", "do_basic_tokenize", "keep_accents", "tokenizer_class", "legacy"),
)
Encode = Callable[[Text], list[int]]


def check_tokens(
    where: Path,
    made: TextTokenizer,
    encode: Encode,
    special: Sequence[str],
    said: Mapping[str, Any],
) -> None:
    """Raise PrepareError where `made` gives other ids than `encode`, transformers' tokenizer of the
    folder `where`, for a probe or a text with a `special` token. `said`: its configuration."""
    texts = [*PROBES, *(f"a {token} b" for token in special[:8])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / TOKENIZER_FILE
        path.write_text(made.json, encoding="utf-8")
        ours = Tokenizer(path, Reading(split_special_tokens=made.split_special_tokens))
        for text, encoded in zip(texts, ours.encode(texts), strict=True):
            if (got := encoded.tokens.ids.tolist()) != (expected := encode(text)):
                what = f"for {text!r} its tokenizer.json gives the tokens {got[:16]}"
                raise PrepareError(
                    f"{where}: {what}, transformers {expected[:16]}. {_reason(said)}"
                )


def _reason(said: Mapping[str, Any]) -> str:
    found = ", ".join(f"{key} {said[key]!r}" for key in _SAYS if key in said)
    return f"tokenizer_config.json says what the file does not hold ({found or 'nothing known'})"

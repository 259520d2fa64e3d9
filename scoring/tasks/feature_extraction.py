"""Embeddings of texts.

Request: {"inputs": text | [text, ...], "parameters": {"pooling", "normalize"}}.
Answer: without pooling, as transformers' feature-extraction pipeline gives it: for each text [1][tokens][hidden].
With pooling (mean, cls or max over the tokens that are not padding; the model's own by default) one vector [hidden] a
text, and with normalize of length 1, as sentence-transformers gives it. A list is answered by a list.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from scoring import fields
from scoring.batching import TextModel
from scoring.contract import JSON, TOKENIZER_FILE, ModelSpec
from scoring.engine import Array, Session
from scoring.errors import TooLarge
from scoring.tokenization import Tokenizer, Tokens

NUMBERS = 4_000_000  # in one answer: as JSON some 80 MB, where platforms carry a few; token vectors soon pass it

POOLINGS: dict[str, Callable[[Array], Array]] = {  # [tokens, hidden] -> [1, tokens, hidden] or [hidden]
    "none": lambda vectors: vectors[None],
    "mean": lambda vectors: vectors.mean(axis=0),
    "cls": lambda vectors: vectors[0],
    "max": lambda vectors: vectors.max(axis=0),
}


def unit(vectors: Array) -> Array:
    """Vectors along the last axis at length 1; a zero vector stays zero."""
    result: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return result


class FeatureExtraction:
    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, session: Session, folder: Path) -> None:
        settings = spec.settings
        self._limit = spec.limits.items
        self._tokenizer = Tokenizer(folder / TOKENIZER_FILE, settings["max_length"])
        self._model = TextModel(session, settings.get("pad_token_id", 0), settings.get("pad_token_type_id", 0))
        pooling = settings.get("pooling", "none")
        if pooling not in POOLINGS:
            raise ValueError(f"pooling '{pooling}' is not one of {', '.join(POOLINGS)}")
        self._parameters = {
            "pooling": fields.Parameter(fields.one_of(*POOLINGS), pooling),
            "normalize": fields.Parameter(fields.flag, bool(settings.get("normalize", False))),
        }

    def answer(self, payload: Any) -> Any:
        data = fields.mapping(payload, "the body")
        texts, many = fields.one_or_list(fields.member(data, "inputs"), fields.text, self._limit)
        options = fields.parameters(data, self._parameters)
        answers = self._vectors(texts, POOLINGS[options["pooling"]], options["normalize"])
        return answers if many else answers[0]

    def _vectors(self, texts: Sequence[str], pool: Callable[[Array], Array], normalize: bool) -> list[Any]:
        room = NUMBERS

        def read(row: Sequence[Array], tokens: Tokens) -> Any:
            nonlocal room
            vectors = pool(row[0][: len(tokens)])
            if (room := room - vectors.size) < 0:
                raise TooLarge(f"the answer holds more than {NUMBERS} numbers; send fewer texts, or ask for pooling")
            return (unit(vectors) if normalize else vectors).tolist()

        return self._model.run(self._tokenizer.encode(texts), read)

"""Embeddings of texts.

Request: {"inputs": text | [text, ...], "parameters": {"pooling", "normalize", "dimensions",
"prompt_name", "prompt", "truncation", "truncation_direction", "max_length", "padding"}}; the last
four may also be in "tokenize_kwargs".

Answer: without pooling, as transformers' pipeline gives it, [1][tokens][hidden] for each text; with
one of POOLINGS over the tokens, or a list of several, as sentence-transformers gives it, one vector
[hidden] a text; only its first `dimensions` numbers, and with normalize of length 1. A list for a
list.

Token vectors are the output last_hidden_state or token_embeddings, else the first of rank 3. A
graph's own sentence_embedding or pooler_output is a value of `pooling`, of which the former is the
default where the graph has it. SETTINGS besides those of every text task are defaults of
parameters, or of scoring/prompts.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import pooling, prompts, settings, validation
from onnxferry.scoring.codecs import JSON, TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue, TooLarge
from onnxferry.scoring.limits import MAX_NUMBERS
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.pooling import POOLED_OUTPUTS, POOLINGS, normalized
from onnxferry.scoring.prompts import Prompts
from onnxferry.scoring.text_runner import TRUNCATION, TextRunner, Texts, read_truncation
from onnxferry.scoring.tokenization import Tokens
from onnxferry.scoring.validation import Parameter

SETTINGS = {
    **settings.TEXT,
    **prompts.SETTINGS,
    "pooling": Parameter(pooling.read((*POOLINGS, *POOLED_OUTPUTS))),
    "normalize": Parameter(validation.flag, False),
    "dimensions": Parameter(validation.positive),
    "pooled_from": Parameter(validation.natural, 0),
}
"""`pooled_from`: the first token that counts, 1 to leave out [CLS]."""


class FeatureExtraction:
    """A Task; see the module. An answer holds at most `max_numbers` numbers."""

    accepts = (JSON, TEXT)

    def __init__(
        self, spec: ModelSpec, runner: Runner, folder: Path, max_numbers: int = MAX_NUMBERS
    ) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._text = TextRunner.load(spec, runner, folder, values)
        self._prompts, self._max_numbers = Prompts.of(values), max_numbers
        self._first = values["pooled_from"]
        self._readers = pooling.readers(runner)
        default = next((name,) for name in pooling.DEFAULT if name in self._readers)
        names = values["pooling"] or default
        if unknown := [name for name in names if name not in self._readers]:
            known = ", ".join(self._readers)
            raise ValueError(f"pooling '{unknown[0]}' is not what the graph gives: {known}")
        self.parameters: Mapping[str, Parameter] = {
            **TRUNCATION,
            **self._prompts.parameters,
            "tokenize_kwargs": Parameter(read_truncation, {}),
            "pooling": Parameter(pooling.read(self._readers), names),
            "normalize": Parameter(validation.flag, values["normalize"]),
            "dimensions": Parameter(validation.positive, values["dimensions"]),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        texts = self._text.read_texts(payload)
        return texts.shape(self.vectors(texts, validation.parameters(texts.body, self.parameters)))

    def vectors(self, texts: Texts, options: Mapping[str, Any]) -> list[Array]:
        """The answer for each text, float32; `options` are `parameters`."""
        options = {**options, **options["tokenize_kwargs"]}
        reader, space = pooling.together(self._readers, options["pooling"]), self._max_numbers

        def read(row: Sequence[Array], tokens: Tokens) -> Array:
            nonlocal space
            # a copy, or the whole batch would stay in memory
            vectors = _cut(reader(row, tokens), options["dimensions"]).astype(np.float32)
            if (space := space - vectors.size) < 0:
                limit = f"the answer holds more than {self._max_numbers} numbers"
                raise TooLarge(f"{limit}; send fewer texts, or ask for pooling")
            return normalized(vectors) if options["normalize"] else vectors

        return self._text.batcher.run(self._tokens(texts, options), read)

    def _tokens(self, texts: Texts, options: Mapping[str, Any]) -> list[Tokens]:
        prompt = self._prompts.chosen(options)
        items = [self._prompts.before(prompt, str(text)) for text in texts.items]
        found = self._text.encode(replace(texts, items=items), options)
        if not prompt or self._prompts.include:
            return [replace(t, prompt=self._first) for t in found] if self._first else found
        left_out = self._text.prompt_length(self._prompts.before(prompt, ""))
        for i, tokens in enumerate(found):
            if len(tokens) <= left_out:
                what = f"the prompt has {left_out} tokens, which leaves none"
                raise InvalidValue(f"'{texts.where(i)}': {what} for the text")
        return [replace(tokens, prompt=left_out) for tokens in found]


def _cut(vectors: Array, dimensions: int | None) -> Array:
    """The first `dimensions` of the last axis."""
    if dimensions and dimensions > vectors.shape[-1]:
        size = f"this model's vectors have {vectors.shape[-1]}"
        raise InvalidValue(f"'parameters.dimensions' is {dimensions}; {size}")
    return vectors[..., :dimensions]

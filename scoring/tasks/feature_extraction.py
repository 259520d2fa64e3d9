"""Embeddings of texts.

Request: {"inputs": text | [text, ...], "parameters": {"pooling", "normalize", "truncation",
"max_length", "padding"}}; the last three may also be in "tokenize_kwargs".

Answer: without pooling, as transformers' pipeline gives it, [1][tokens][hidden] for each text; with
mean, cls or max over the tokens, as sentence-transformers gives it, one vector [hidden] a text, and
with normalize of length 1. A list for a list.

Token vectors are the output last_hidden_state or token_embeddings, else the first of rank 3. A
graph's own sentence_embedding or pooler_output is a value of `pooling`, of which the former is the
default where the graph has it. SETTINGS besides those of every text task are defaults of
parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import settings, validation
from onnxferry.scoring.codecs import JSON, TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import TooLarge
from onnxferry.scoring.limits import MAX_NUMBERS
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.text_runner import TRUNCATION, TextRunner, Texts, read_truncation
from onnxferry.scoring.tokenization import Tokens
from onnxferry.scoring.validation import Parameter

# [tokens, hidden] -> [1, tokens, hidden] or [hidden]
POOLINGS: dict[str, Callable[[Array], Array]] = {
    "none": lambda vectors: vectors[None],
    "mean": lambda vectors: vectors.mean(axis=0),
    "cls": lambda vectors: vectors[0],
    "max": lambda vectors: vectors.max(axis=0),
}
TOKEN_OUTPUTS = ("last_hidden_state", "token_embeddings")  # [batch, tokens, hidden]
POOLED_OUTPUTS = ("sentence_embedding", "pooler_output")  # [batch, hidden]
SETTINGS = {
    **settings.TEXT,
    "pooling": Parameter(validation.one_of(*POOLINGS, *POOLED_OUTPUTS)),
    "normalize": Parameter(validation.flag, False),
}
# one text's row of every output, its number of tokens -> vectors
Read = Callable[[Sequence[Array], int], Array]


def normalized(vectors: Array) -> Array:
    """Vectors of the last axis at length 1; zero stays zero."""
    result: Array = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return result


def readers(runner: Runner) -> dict[str, Read]:
    """What a graph gives, by pooling."""
    names = [t.name for t in runner.outputs]
    found = {name: _output(names.index(name)) for name in POOLED_OUTPUTS if name in names}
    tokens = [names.index(name) for name in TOKEN_OUTPUTS if name in names]
    tokens += [i for i, output in enumerate(runner.outputs) if len(output.shape) == 3]
    if tokens or not found:
        index = tokens[0] if tokens else 0  # a graph need not say its shapes
        found |= {name: _pooled(index, pool) for name, pool in POOLINGS.items()}
    return found


def _output(index: int) -> Read:
    return lambda row, _: row[index]


def _pooled(index: int, pool: Callable[[Array], Array]) -> Read:
    return lambda row, tokens: pool(row[index][:tokens])


class FeatureExtraction:
    """A Task; see the module. An answer holds at most `max_numbers` numbers."""

    accepts = (JSON, TEXT)

    def __init__(
        self, spec: ModelSpec, runner: Runner, folder: Path, max_numbers: int = MAX_NUMBERS
    ) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._text = TextRunner.load(spec, runner, folder, values)
        self._readers, self._max_numbers = readers(runner), max_numbers
        default = (POOLED_OUTPUTS[0], "none", *POOLED_OUTPUTS)
        pooling = values["pooling"] or next(name for name in default if name in self._readers)
        if pooling not in self._readers:
            known = ", ".join(self._readers)
            raise ValueError(f"pooling '{pooling}' is not what the graph gives: {known}")
        self.parameters = {
            **TRUNCATION,
            "tokenize_kwargs": Parameter(read_truncation, {}),
            "pooling": Parameter(validation.one_of(*self._readers), pooling),
            "normalize": Parameter(validation.flag, values["normalize"]),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        texts = self._text.read_texts(payload)
        return texts.shape(self.vectors(texts, validation.parameters(texts.body, self.parameters)))

    def vectors(self, texts: Texts, options: Mapping[str, Any]) -> list[Array]:
        """The answer for each text, float32; `options` are `parameters`."""
        options = {**options, **options["tokenize_kwargs"]}
        reader, space = self._readers[options["pooling"]], self._max_numbers

        def read(row: Sequence[Array], tokens: Tokens) -> Array:
            nonlocal space
            # a copy, or the whole batch would stay in memory
            vectors = reader(row, len(tokens)).astype(np.float32)
            if (space := space - vectors.size) < 0:
                limit = f"the answer holds more than {self._max_numbers} numbers"
                raise TooLarge(f"{limit}; send fewer texts, or ask for pooling")
            return normalized(vectors) if options["normalize"] else vectors

        return self._text.run(texts, options, read)

"""How alike texts are: one text against others, by their embeddings.

Request: {"inputs": {"source_sentence": text, "sentences": [text, ...]}, "parameters": {...}}, or a
list of such inputs; the parameters are feature-extraction's. Answer, as Hugging Face's widget and
sentence-transformers give it: a score for each of `sentences`, in their order; a list for a list.

Settings: feature-extraction's, where `pooling` must make one vector a text, and `similarity`, one
of SIMILARITIES.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import timing, validation
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.limits import check_sequences
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.pooling import normalized
from onnxferry.scoring.tasks import feature_extraction
from onnxferry.scoring.tasks.feature_extraction import FeatureExtraction
from onnxferry.scoring.text_runner import Texts
from onnxferry.scoring.validation import Parameter

# one vector [hidden], others [n, hidden] -> [n], each by itself; a distance counts below zero, as
# in sentence-transformers, so that more is always more alike
SIMILARITIES: dict[str, Callable[[Array, Array], Array]] = {
    "cosine": lambda one, others: (normalized(others) * normalized(one)).sum(axis=-1),
    "dot": lambda one, others: (others * one).sum(axis=-1),
    "euclidean": lambda one, others: -np.linalg.norm(others - one, axis=-1),
    "manhattan": lambda one, others: -np.abs(others - one).sum(axis=-1),
}
_OWN = {"similarity": Parameter(validation.one_of(*SIMILARITIES), "cosine")}
SETTINGS = {**feature_extraction.SETTINGS, **_OWN}


@dataclass(frozen=True)
class _Sentences(Texts):
    """The source sentence first, then the others. `key`: the field of both."""

    def where(self, index: int) -> str:
        """The field of a text."""
        return f"{self.key}.sentences[{index - 1}]" if index else f"{self.key}.source_sentence"


class SentenceSimilarity:
    """A Task; see the module."""

    accepts = (JSON,)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        own = {name: value for name, value in spec.settings.items() if name in _OWN}
        rest = {name: value for name, value in spec.settings.items() if name not in _OWN}
        self._similarity = SIMILARITIES[_OWN["similarity"].take(own, "similarity", "settings.")]
        self.embedding = FeatureExtraction(replace(spec, settings=rest), runner, folder)
        self._limits = spec.limits

    def answer(self, payload: Any) -> Any:
        """See the module."""
        body = validation.mapping(payload, "the body")
        inputs, limit = validation.member(body, "inputs"), self._limits.items
        groups, many = validation.uncounted(inputs, self._sentences(body), limit, "inputs")
        count = sum(len(group.items) - 1 for group in groups)
        check_sequences(count, f"{len(groups)} inputs have {count} sentences", "send fewer")
        timing.count(items=count)
        answers = [self._scores(group) for group in groups]
        return answers if many else answers[0]

    def _sentences(self, body: Mapping[str, Any]) -> Callable[[object, str], _Sentences]:
        def read(value: object, where: str) -> _Sentences:
            data, prefix = validation.mapping(value, f"'{where}'"), f"{where}."
            source = validation.member(data, "source_sentence", prefix)
            source = validation.text(source, f"{prefix}source_sentence")
            others = validation.member(data, "sentences", prefix)
            limit, key = self._limits.items, f"{prefix}sentences"
            texts, _ = validation.uncounted(others, validation.text, limit, key)
            return _Sentences([source, *texts], True, where, body)

        return read

    def _scores(self, sentences: _Sentences) -> list[float]:
        options = validation.parameters(sentences.body, self.embedding.parameters)
        vectors = self.embedding.vectors(sentences, options)
        if vectors[0].ndim != 1:
            pooled = "similarity needs one vector a text"
            raise InvalidValue(f"'parameters.pooling' is none; {pooled}: mean, cls or max")
        scores: list[float] = self._similarity(vectors[0], np.stack(vectors[1:])).tolist()
        return scores

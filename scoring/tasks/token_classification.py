"""Token classification: named entities, parts of speech.

Request: {"inputs": text | [text, ...], "parameters": {"aggregation_strategy", "ignore_labels",
"stride", "grouped_entities", "ignore_subwords"}}; the last two are the older form of the first.

Answer, as transformers' pipeline gives it: for each text a list, in the text's order;
- aggregation_strategy none: a token each, {"entity", "score", "index", "word", "start", "end"};
- simple, first, average, max: an entity each, {"entity_group", "score", "word", "start", "end"}.

start and end count code points; `word` is the tokenizer's spelling. Labels in ignore_labels
(["O"]) are left out. A list is answered by a list of lists.

A text that is longer than the model is truncated, unless `stride` (tokens that two windows share)
asks for windows. SETTINGS besides those of every text task are defaults of parameters. See
scoring/entities.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scoring import entities, settings, validation
from onnxferry.scoring.codecs import JSON, TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.entities import STRATEGIES, ScoredToken
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.labels import Labels, softmax
from onnxferry.scoring.limits import check_sequences
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.text_runner import TextRunner, Texts
from onnxferry.scoring.tokenization import Encoded
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.windows import Window, check_stride, count_windows, truncated, windows

SETTINGS = {
    **settings.TEXT,
    "aggregation_strategy": Parameter(validation.one_of(*STRATEGIES), "none"),
    "ignore_labels": Parameter(validation.strings, ["O"]),
}


@dataclass(frozen=True)
class _Options:
    strategy: str
    ignored: Sequence[str]
    stride: int | None


class TokenClassification:
    """A Task; see the module."""

    accepts = (JSON, TEXT)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._labels = Labels(spec.labels, runner)
        self._text = TextRunner.load(spec, runner, folder, values)
        self._strategy = values["aggregation_strategy"]
        self._parameters = {
            "aggregation_strategy": Parameter(validation.one_of(*STRATEGIES)),
            "grouped_entities": Parameter(validation.flag),
            "ignore_subwords": Parameter(validation.flag),
            "ignore_labels": Parameter(validation.strings, values["ignore_labels"]),
            "stride": Parameter(validation.natural),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        texts = self._text.read_texts(payload)
        options = self._options(validation.parameters(texts.body, self._parameters))
        encoded = list(self._text.tokenizer.encode_with_offsets(texts.items))
        cuts = self._windows(texts, encoded, options.stride)
        sequences = [window.tokens for cut in cuts for window in cut]
        rows = iter(self._text.batcher.run(sequences, lambda row, _: self._labels.logits(row)))
        answers = []
        for text, whole, cut in zip(texts.items, encoded, cuts, strict=True):
            scored = [(window, next(rows)) for window in cut]
            answers.append(self._found(str(text), whole, scored, options))
        return texts.shape(answers)

    def _options(self, sent: Mapping[str, Any]) -> _Options:
        strategy = sent["aggregation_strategy"]
        if sent["grouped_entities"] is not None or sent["ignore_subwords"] is not None:
            grouped = "first" if sent["ignore_subwords"] else "simple"
            strategy = grouped if sent["grouped_entities"] else "none"
        if sent["stride"] is not None and strategy == "none":
            raise InvalidValue("'parameters.stride' needs an 'aggregation_strategy'")
        return _Options(strategy or self._strategy, sent["ignore_labels"], sent["stride"])

    def _windows(
        self, texts: Texts, encoded: Sequence[Encoded], stride: int | None
    ) -> list[list[Window]]:
        """The windows of each text: without `stride` one alone."""
        length = self._text.max_length
        for i, text in enumerate(encoded):
            self._text.check(text, texts.where(i), 0)
            if stride is not None:
                check_stride(text, 0, length, ("stride", stride))
        if stride is None:
            cut_at = self._text.tokenizer.reading.truncation_side
            return [[truncated(text, 0, length, cut_at)] for text in encoded]
        count = sum(count_windows(text, 0, length, stride) for text in encoded)
        what = f"the texts make {count} windows of {length} tokens"
        check_sequences(count, what, "send less text")
        return [list(windows(text, 0, length, stride)) for text in encoded]

    def _found(
        self, text: str, encoded: Encoded, rows: Sequence[tuple[Window, Array]], options: _Options
    ) -> list[Any]:
        """What all windows of a text have, without ignored labels."""
        kept = []
        for window, logits in rows:
            scores = softmax(logits[window.first : window.stop])
            tokens = window.tokens_of_text
            scored = entities.scored_tokens(encoded, tokens, scores, text, self._text.tokenizer)
            if options.strategy == "none":
                names = self._labels.names
                found = [_entry(names, i, t) for i, t in enumerate(scored, window.first)]
            else:
                found = self._entities(scored, options.strategy)
            kept += [e for e in found if _label(e) not in options.ignored]
        return entities.without_overlaps(kept) if len(rows) > 1 else kept

    def _entities(self, scored: Sequence[ScoredToken], strategy: str) -> list[Any]:
        join = self._text.tokenizer.join
        if strategy in entities.WORDS:
            scored = entities.words(scored, strategy, join)
        return entities.entities(scored, self._labels.names, join)


def _label(entry: Mapping[str, Any]) -> Any:
    return entry.get("entity", entry.get("entity_group"))


def _entry(names: Sequence[str], index: int, token: ScoredToken) -> dict[str, Any]:
    entry = {"entity": names[token.best], "score": token.score, "index": index}
    return {**entry, "word": token.word, "start": token.start, "end": token.end}

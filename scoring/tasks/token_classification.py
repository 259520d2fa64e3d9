"""Token classification: named entities, parts of speech.

Request: {"inputs": text | [text, ...], "parameters": {"aggregation_strategy", "ignore_labels",
"stride",
"grouped_entities", "ignore_subwords"}}. The last two are the older form of aggregation_strategy.
Answer, as transformers' token-classification pipeline gives it: for each text a list, in the text's
order;
- aggregation_strategy none: a token each, {"entity", "score", "index", "word", "start", "end"};
- simple, first, average, max: an entity each, {"entity_group", "score", "word", "start", "end"}.
start and end index the caller's string in code points; `word` is the tokenizer's spelling. Labels
in ignore_labels
(default ["O"]) are left out. A list is answered by a list of lists.

A text that is longer than the model is cut, unless `stride` (tokens that two windows share) asks
for windows. The method is in scoring/entities.py. Settings besides those of every text task:
`aggregation_strategy`, `ignore_labels` (what a request without them gets).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scoring import settings, validation
from onnxferry.scoring.codecs import TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.entities import STRATEGIES, WORDS, entities, units, without_overlaps, words
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.labels import Labels, softmax
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.spans import Window, count_windows, expect_stride, windows
from onnxferry.scoring.text_runner import Encoder, Texts, expect_sequences, read_texts
from onnxferry.scoring.tokenization import Encoded
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.wire import JSON

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
    accepts = (JSON, TEXT)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        own = settings.read(spec.settings, SETTINGS)
        self._labels = Labels(spec.labels, runner)
        self._encoder = Encoder.load(spec, runner, folder, own)
        self._strategy = own["aggregation_strategy"]
        self._parameters = {
            "aggregation_strategy": Parameter(validation.one_of(*STRATEGIES)),
            "grouped_entities": Parameter(validation.flag),
            "ignore_subwords": Parameter(validation.flag),
            "ignore_labels": Parameter(validation.strings, own["ignore_labels"]),
            "stride": Parameter(validation.natural),
        }

    def answer(self, payload: Any) -> Any:
        data = validation.mapping(payload, "the body")
        texts = read_texts(data, self._encoder.limits.items)
        options = self._options(validation.parameters(data, self._parameters))
        encoded = list(self._encoder.tokenizer.encode_with_offsets(texts.items))
        cuts = self._cuts(texts, encoded, options.stride)
        rows = iter(
            self._encoder.model.run(
                [w.tokens for cut in cuts for w in cut], lambda row, _: self._labels.logits(row)
            )
        )
        answers = [
            self._found(text, e, [(window, next(rows)) for window in cut], options)
            for text, e, cut in zip(texts.items, encoded, cuts, strict=True)
        ]
        return texts.shape(answers)

    def _options(self, given: Mapping[str, Any]) -> _Options:
        chosen = given["aggregation_strategy"]
        if given["grouped_entities"] is not None or given["ignore_subwords"] is not None:
            grouped = "first" if given["ignore_subwords"] else "simple"
            chosen = grouped if given["grouped_entities"] else "none"
        if given["stride"] is not None and chosen == "none":
            raise InvalidValue(
                "'parameters.stride' needs an 'aggregation_strategy' other than none"
            )
        return _Options(chosen or self._strategy, given["ignore_labels"], given["stride"])

    def _cuts(
        self, texts: Texts, encoded: Sequence[Encoded], stride: int | None
    ) -> list[list[Window]]:
        """The windows of each text: the first alone without `stride`. None is made when they are
        too many."""
        length = self._encoder.max_length
        for i, text in enumerate(encoded):
            self._encoder.check(text, texts.where(i), 0)
            if stride is not None:
                expect_stride(text, 0, length, ("stride", stride))
        if stride is None:
            return [[next(windows(text, 0, length, 0))] for text in encoded]
        wanted = sum(count_windows(text, 0, length, stride) for text in encoded)
        expect_sequences(
            wanted, f"the texts make {wanted} windows of {length} tokens", "send less text"
        )
        return [list(windows(text, 0, length, stride)) for text in encoded]

    def _found(
        self, text: Any, encoded: Encoded, rows: Sequence[tuple[Window, Array]], options: _Options
    ) -> list[Any]:
        found = [
            item
            for window, logits in rows
            for item in self._window(text, encoded, window, logits, options)
        ]
        kept = [
            item
            for item in found
            if item.get("entity", item.get("entity_group")) not in options.ignored
        ]
        return without_overlaps(kept) if len(rows) > 1 else kept

    def _window(
        self, text: str, encoded: Encoded, window: Window, logits: Array, options: _Options
    ) -> list[Any]:
        scores = softmax(logits[window.first : window.stop])
        tokens = units(encoded, window.tokens_of_text, scores, text, self._encoder.tokenizer)
        names, join = self._labels.names, self._encoder.tokenizer.join
        if options.strategy == "none":
            return [
                {
                    "entity": names[int(u.scores.argmax())],
                    "score": u.score,
                    "index": i,
                    "word": u.word,
                }
                | {"start": u.start, "end": u.end}
                for i, (u, _) in enumerate(tokens, window.first)
            ]
        labelled = (
            words(tokens, options.strategy, join)
            if options.strategy in WORDS
            else [u for u, _ in tokens]
        )
        return entities(labelled, names, join)

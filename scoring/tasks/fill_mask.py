"""Masked language modelling: which tokens fit where the text has its mask token ([MASK], <mask>).

Request: {"inputs": text | [text, ...], "parameters": {"top_k", "targets", "truncation",
"max_length", "padding"}}; the last three may also stand in "tokenizer_kwargs". "sequences" is read
as inputs. Answer, as transformers' fill-mask pipeline gives it: the top_k (5) tokens of a text,
best first, {"score", "token", "token_str", "sequence"}; where a text has several masks a list of
them for each mask; a list is answered by a list (of one text, too, where the pipeline leaves the
outer list out). With `targets` (a string or a list) only these compete; one that is no token stands
for its first token.

Settings besides those of every text task: `mask_token` (required), `clean_up_tokenization_spaces`
(false; as the source model's tokenizer_config.json says) and `top_k` (5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import settings, validation
from onnxferry.scoring.batching import TOKEN_BUDGET
from onnxferry.scoring.codecs import TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue, TooLarge
from onnxferry.scoring.labels import logits_output, softmax
from onnxferry.scoring.manifest import ModelSpec, Tensor
from onnxferry.scoring.text_runner import CUTTING, Encoder, Texts, read_cutting, read_texts
from onnxferry.scoring.tokenization import Tokens
from onnxferry.scoring.validation import Parameter
from onnxferry.scoring.wire import JSON

ANSWERS = 10_000  # of one request, masks x top_k; each carries its text
TARGETS = 1000
SCORES = 2**24  # of one run, 64 MB
_CLEAN = (  # as transformers cleans the spaces up that decoding leaves (PreTrainedTokenizerBase)
    (" .", "."),
    (" ?", "?"),
    (" !", "!"),
    (" ,", ","),
    (" ' ", "'"),
    (" n't", "n't"),
    (" 'm", "'m"),
    (" 's", "'s"),
    (" 've", "'ve"),
    (" 're", "'re"),
)
SETTINGS = {
    **settings.TEXT,
    "mask_token": Parameter(validation.text, settings.REQUIRED),
    "clean_up_tokenization_spaces": Parameter(validation.flag, False),
    "top_k": Parameter(validation.positive, 5),
}


@dataclass(frozen=True)
class Guess:
    """The best tokens for one mask: `ids` and their probabilities `scores`, both [top_k], best
    first."""

    ids: Array
    scores: Array

    def pairs(self) -> list[tuple[int, float]]:
        return list(zip(self.ids.tolist(), self.scores.tolist(), strict=True))


def read_targets(value: object, where: str) -> list[str]:
    targets = validation.strings(value, where)
    if not targets or len(targets) > TARGETS:
        raise InvalidValue(f"'{where}' holds {len(targets)} strings; expected 1 to {TARGETS}")
    return targets


class FillMask:
    accepts = (JSON, TEXT)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        own = settings.read(spec.settings, SETTINGS)
        self._output = logits_output(runner)
        self._encoder = Encoder.load(spec, runner, folder, own)
        self._budget = _budget(runner.outputs[self._output])
        self._mask_token, self._pad = own["mask_token"], own["pad_token_id"]
        mask = self._encoder.tokenizer.id(self._mask_token)
        if mask is None:
            raise ValueError(
                f"mask_token {self._mask_token!r} is not in the tokenizer's vocabulary"
            )
        self._mask, self._clean = mask, own["clean_up_tokenization_spaces"]
        self._parameters = {
            **CUTTING,
            "tokenizer_kwargs": Parameter(read_cutting, {}),
            "top_k": Parameter(validation.positive, own["top_k"]),
            "targets": Parameter(read_targets),
        }

    def answer(self, payload: Any) -> Any:
        data = validation.mapping(payload, "the body")
        texts = read_texts(data, self._encoder.limits.items)
        options = validation.parameters(data, self._parameters)
        sequences = self._encoder.encode(texts, {**options, **options["tokenizer_kwargs"]})
        targets = self._targets(options["targets"])
        self._check(
            texts,
            sequences,
            min(options["top_k"], len(targets) if targets is not None else options["top_k"]),
        )
        guesses = self._encoder.model.run(
            sequences, lambda row, t: self._guesses(row, t, targets, options["top_k"]), self._budget
        )
        return texts.shape([self._answer(t, g) for t, g in zip(sequences, guesses, strict=True)])

    def _targets(self, targets: Sequence[str] | None) -> Array | None:
        """The ids of the targets, each once, in ascending order."""
        if targets is None:
            return None
        tokenizer = self._encoder.tokenizer
        whole = {id for target in targets if (id := tokenizer.id(target)) is not None}
        others = tokenizer.encode([target for target in targets if tokenizer.id(target) is None])
        ids = whole | {
            int(other.tokens.ids[other.ranges[0][0]]) for other in others if other.size(0)
        }
        if not ids:
            raise InvalidValue(
                "'parameters.targets' holds no character that the model's tokenizer knows"
            )
        return np.array(sorted(ids))

    def _check(self, texts: Texts, sequences: Sequence[Tokens], top_k: int) -> None:
        masks = [int((tokens.ids == self._mask).sum()) for tokens in sequences]
        for i, count in enumerate(masks):
            if not count:
                raise InvalidValue(
                    f"'{texts.where(i)}' has no mask token {self._mask_token} within the "
                    f"{self._encoder.max_length} tokens that this model reads"
                )
        if sum(masks) * top_k > ANSWERS:
            raise TooLarge(
                f"{sum(masks)} mask(s) with 'parameters.top_k' {top_k} ask for more than {ANSWERS}"
                " answers, the most that one request gets"
            )

    def _guesses(
        self, row: Sequence[Array], tokens: Tokens, targets: Array | None, top_k: int
    ) -> list[Guess]:
        """What fits each mask of one sequence, read while the scores of its batch are held."""
        places = np.flatnonzero(tokens.ids == self._mask)
        return [
            self._guess(row[self._output][place].astype(np.float32), targets, top_k)
            for place in places
        ]

    def _guess(self, logits: Array, targets: Array | None, top_k: int) -> Guess:
        scores = softmax(logits)
        ids = np.arange(len(scores)) if targets is None else targets[targets < len(scores)]
        top_k = min(top_k, len(ids))
        best = np.argpartition(-scores[ids], top_k - 1)[:top_k]
        best = best[np.argsort(-scores[ids][best], kind="stable")]
        return Guess(ids[best], scores[ids][best])

    def _answer(self, tokens: Tokens, guesses: Sequence[Guess]) -> Any:
        single = len(guesses) == 1
        places = np.flatnonzero(tokens.ids == self._mask)
        rows = [
            [
                self._entry(_filled(tokens.ids, place, id), id, score, single)
                for id, score in guess.pairs()
            ]
            for place, guess in zip(places, guesses, strict=True)
        ]
        return rows[0] if single else rows

    def _entry(self, filled: Array, id: int, score: float, single: bool) -> dict[str, Any]:
        """Where several masks are, special tokens stay in the text, or the other masks would be
        lost."""
        sequence = self._decode(filled[filled != self._pad].tolist(), special=not single)
        return {"score": score, "token": id, "token_str": self._decode([id]), "sequence": sequence}

    def _decode(self, ids: Sequence[int], special: bool = True) -> str:
        text = self._encoder.tokenizer.decode(ids, special)
        for before, after in _CLEAN if self._clean else ():
            text = text.replace(before, after)
        return text


def _budget(output: Tensor) -> int:
    """How many tokens one run may hold: each brings a score for every token of the vocabulary."""
    vocabulary = output.shape[-1] if output.shape and isinstance(output.shape[-1], int) else 50_000
    return min(TOKEN_BUDGET, max(SCORES // vocabulary, 1))


def _filled(ids: Array, place: int, id: int) -> Array:
    filled = ids.copy()
    filled[place] = id
    return filled

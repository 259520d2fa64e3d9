"""Masked language modelling: which tokens fit where the text has its mask token ([MASK], <mask>).

Request: {"inputs": text | [text, ...], "parameters": {"top_k", "targets", "truncation",
"max_length", "padding"}}; the last three may also be in "tokenizer_kwargs". With `targets` (a
string or a list) only these compete; one that is no token stands for its first token.

Answer, as transformers' pipeline gives it: the top_k tokens of a text, best first, {"score",
"token", "token_str", "sequence"}; of a text with several masks a list of them for each mask. A list
for a list, also of one text, where the pipeline leaves the outer list out.

Settings besides those of every text task: `mask_token`, `clean_up_tokenization_spaces` (both of the
source's tokenizer_config.json) and `top_k`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import settings, validation
from onnxferry.scoring.batching import TOKEN_BUDGET
from onnxferry.scoring.codecs import JSON, TEXT
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidValue
from onnxferry.scoring.labels import logits_output, softmax
from onnxferry.scoring.limits import check_answers
from onnxferry.scoring.manifest import ModelSpec, Tensor
from onnxferry.scoring.text_runner import TRUNCATION, UNKNOWN, TextRunner, Texts, read_truncation
from onnxferry.scoring.tokenization import Tokens
from onnxferry.scoring.validation import Parameter

Best = list[tuple[int, float]]  # the best tokens for one mask and their probabilities
MAX_TARGETS = 1000
MAX_SCORES = 2**24  # of one run, 64 MB
# the spaces that transformers' decoding removes (PreTrainedTokenizerBase.clean_up_tokenization)
_CLEAN = (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're")
SETTINGS = {
    **settings.TEXT,
    "mask_token": Parameter(validation.text, settings.REQUIRED),
    "clean_up_tokenization_spaces": Parameter(validation.flag, False),
    "top_k": Parameter(validation.positive, 5),
}


def read_targets(value: object, where: str) -> list[str]:
    """A string, or 1 to MAX_TARGETS of them."""
    targets = validation.strings(value, where)
    if not targets or len(targets) > MAX_TARGETS:
        raise InvalidValue(f"'{where}' holds {len(targets)} strings; expected 1 to {MAX_TARGETS}")
    return targets


class FillMask:
    """A Task; see the module."""

    accepts = (JSON, TEXT)

    def __init__(self, spec: ModelSpec, runner: Runner, folder: Path) -> None:
        values = settings.read(spec.settings, SETTINGS)
        self._output = logits_output(runner)
        self._text = TextRunner.load(spec, runner, folder, values)
        self._budget = _budget(runner.outputs[self._output])
        self._mask_token, self._pad = values["mask_token"], values["pad_token_id"]
        mask = self._text.tokenizer.id(self._mask_token)
        if mask is None:
            token = repr(self._mask_token)
            raise ValueError(f"mask_token {token} is not in the tokenizer's vocabulary")
        self._mask, self._clean = mask, values["clean_up_tokenization_spaces"]
        self._parameters = {
            **TRUNCATION,
            "tokenizer_kwargs": Parameter(read_truncation, {}),
            "top_k": Parameter(validation.positive, values["top_k"]),
            "targets": Parameter(read_targets),
        }

    def answer(self, payload: Any) -> Any:
        """See the module."""
        texts = self._text.read_texts(payload)
        options = validation.parameters(texts.body, self._parameters)
        sequences = self._text.encode(texts, {**options, **options["tokenizer_kwargs"]})
        targets = self._targets(options["targets"])
        top_k = options["top_k"] if targets is None else min(options["top_k"], len(targets))
        self._check(texts, sequences, top_k)
        found = self._text.batcher.run(
            sequences, lambda row, tokens: self._read(row, tokens, targets, top_k), self._budget
        )
        return texts.shape([self._answer(t, f) for t, f in zip(sequences, found, strict=True)])

    def _targets(self, targets: Sequence[str] | None) -> Array | None:
        """int64 [targets]: their ids, each once, in ascending order."""
        if targets is None:
            return None
        tokenizer = self._text.tokenizer
        whole = {id for target in targets if (id := tokenizer.id(target)) is not None}
        others = tokenizer.encode([target for target in targets if tokenizer.id(target) is None])
        ids = whole | {int(e.tokens.ids[e.ranges[0][0]]) for e in others if e.size(0)}
        if not ids:
            raise InvalidValue(UNKNOWN.format("parameters.targets"))
        return np.array(sorted(ids))

    def _check(self, texts: Texts, sequences: Sequence[Tokens], top_k: int) -> None:
        masks = [int((tokens.ids == self._mask).sum()) for tokens in sequences]
        for i, count in enumerate(masks):
            if not count:
                what = f"'{texts.where(i)}' has no mask token {self._mask_token}"
                length = self._text.max_length
                raise InvalidValue(f"{what} within the {length} tokens that this model reads")
        check_answers(sum(masks), "mask(s)", top_k)

    def _read(
        self, row: Sequence[Array], tokens: Tokens, targets: Array | None, top_k: int
    ) -> list[Best]:
        """What fits each mask of one sequence."""
        places = np.flatnonzero(tokens.ids == self._mask)
        scores = (softmax(row[self._output][i].astype(np.float32)) for i in places)  # one by one
        return [_best(s, targets, top_k) for s in scores]

    def _answer(self, tokens: Tokens, found: Sequence[Best]) -> Any:
        single = len(found) == 1
        rows = []
        for place, best in zip(np.flatnonzero(tokens.ids == self._mask), found, strict=True):
            entries = []
            for id, score in best:
                filled = tokens.ids.copy()
                filled[place] = id
                entries.append(self._entry(filled, id, score, single))
            rows.append(entries)
        return rows[0] if single else rows

    def _entry(self, filled: Array, id: int, score: float, single: bool) -> dict[str, Any]:
        """With several masks the text keeps its special tokens, which the other masks are."""
        sequence = self._decode(filled[filled != self._pad].tolist(), special=not single)
        return {"score": score, "token": id, "token_str": self._decode([id]), "sequence": sequence}

    def _decode(self, ids: Sequence[int], special: bool = True) -> str:
        text = self._text.tokenizer.decode(ids, special)
        for spaced in _CLEAN if self._clean else ():
            text = text.replace(spaced, spaced.strip())
        return text


def _budget(output: Tensor) -> int:
    """How many tokens one run may hold, each with a score for the whole vocabulary."""
    vocabulary = output.shape[-1] if output.shape and isinstance(output.shape[-1], int) else 50_000
    return min(TOKEN_BUDGET, max(MAX_SCORES // vocabulary, 1))


def _best(scores: Array, targets: Array | None, top_k: int) -> Best:
    """Of scores [vocabulary], or of those of `targets`, ids in ascending order."""
    ids = np.arange(len(scores)) if targets is None else targets[targets < len(scores)]
    top_k = min(top_k, len(ids))
    best = np.argpartition(-scores[ids], top_k - 1)[:top_k]
    best = best[np.argsort(-scores[ids][best], kind="stable")]
    return list(zip(ids[best].tolist(), scores[ids][best].tolist(), strict=True))

"""From the scores of tokens to words and entities, by the strategies of transformers' pipeline
(4.51).

`none` labels each token; `simple` joins neighbouring tokens of one entity; `first`, `average` and
`max` label whole words before they are joined, by the first token, the mean of the scores, or the
surest token. A label of B- begins an entity; one of I- or without a prefix continues one of its own
name (Ramshaw and Marcus, arXiv:cmp-lg/9505040).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from onnxferry.scoring.engine import Array

if TYPE_CHECKING:  # a host of pictures has no tokenizers
    from onnxferry.scoring.tokenization import Encoded, Tokenizer

Join = Callable[[Sequence[str]], str]
WORDS: dict[str, Callable[[Array], Array]] = {  # scores [tokens, labels] of a word -> [labels]
    "first": lambda scores: scores[0],
    "average": lambda scores: scores.mean(axis=0),
    "max": lambda scores: scores[scores.max(axis=1).argmax()],
}
STRATEGIES = ("none", "simple", *WORDS)


@dataclass(frozen=True)
class ScoredToken:
    """A token, or a word: `scores` [labels], spelling, characters [start, end) in the text."""

    scores: Array
    word: str
    start: int
    end: int
    best: int  # the index of the best label
    score: float  # its score
    continues: bool = False  # the word of the token before


def scored_tokens(
    encoded: Encoded, within: range, scores: Array, text: str, tokenizer: Tokenizer
) -> list[ScoredToken]:
    """The tokens `within` with their scores [tokens, labels]. The spaces tell what continues a word
    where the tokenizer does not mark it."""
    offsets, unknown, marked = encoded.offsets(), tokenizer.unknown, tokenizer.marks_subwords
    found = []
    ids = encoded.tokens.ids[within.start : within.stop].tolist()
    best, sure = scores.argmax(axis=1).tolist(), scores.max(axis=1).tolist()
    for i, token in enumerate(within):
        word, (start, end) = tokenizer.token(ids[i]), offsets[token]
        if word == unknown:
            word, continues = text[start:end], False
        elif marked:
            continues = len(word) != end - start
        else:
            continues = start > 0 and " " not in text[start - 1 : start + 1]
        found.append(ScoredToken(scores[i], word, start, end, best[i], sure[i], continues))
    return found


def words(tokens: Iterable[ScoredToken], strategy: str, join: Join) -> list[ScoredToken]:
    """The words that tokens make up, with the scores that `strategy` gives."""
    groups: list[list[ScoredToken]] = []
    for token in tokens:
        if groups and token.continues:
            groups[-1].append(token)
        else:
            groups.append([token])
    found = []
    for group in groups:
        scores = WORDS[strategy](np.array([token.scores for token in group]))
        word = join([token.word for token in group])
        best = int(scores.argmax())
        where = group[0].start, group[-1].end
        found.append(ScoredToken(scores, word, *where, best, float(scores[best])))
    return found


def entities(tokens: Sequence[ScoredToken], labels: Sequence[str], join: Join) -> list[Any]:
    """Neighbouring tokens of one entity as {"entity_group", "score", "word", "start", "end"}."""
    names = [labels[token.best] for token in tokens]
    tags = [_tag(name) for name in names]
    first = [i for i, tag in enumerate(tags) if i == 0 or tag[0] or tag[1] != tags[i - 1][1]]
    found = []
    for start, stop in pairwise([*first, len(tokens)]):
        group = tokens[start:stop]
        score = sum(token.score for token in group) / len(group)
        entry = {"entity_group": names[start].split("-", 1)[-1], "score": score}
        word = join([token.word for token in group])
        found.append({**entry, "word": word, "start": group[0].start, "end": group[-1].end})
    return found


def _tag(name: str) -> tuple[bool, str]:
    """Whether a label begins an entity, and the entity's name."""
    return name.startswith("B-"), name[2:] if name[:2] in ("B-", "I-") else name


def without_overlaps(found: Sequence[Any]) -> list[Any]:
    """What several windows found, in the text's order: of two that overlap the longer, then the
    surer one."""
    ordered = sorted(found, key=lambda entity: int(entity["start"]))
    kept = ordered[:1]
    for entity in ordered:
        before = kept[-1]
        if not before["start"] <= entity["start"] < before["end"]:
            kept.append(entity)
        elif _rank(entity) > _rank(before):
            kept[-1] = entity
    return kept


def _rank(entity: Any) -> tuple[int, float]:
    return entity["end"] - entity["start"], entity["score"]

"""Figures of quality in points (0 to 100), each by its published definition."""

from __future__ import annotations

import functools
import re
import string
from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from typing import Any

import numpy as np

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalise(text: str) -> str:
    """Lower case, without ASCII punctuation, articles and surplus white space, by the script of
    SQuAD v1.1 and v2.0 (Rajpurkar et al. 2016, arXiv:1606.05250)."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact(answer: str, right: str) -> float:
    """1.0 if both texts are equal once normalised."""
    return float(normalise(answer) == normalise(right))


def overlap(answer: str, right: str, empty: bool = False) -> float:
    """F1, 0 to 1, over the words of both normalised texts by SQuAD's script. Two texts without any
    score 0 by v1.1's, and 1 by v2.0's (`empty`)."""
    ours, theirs = normalise(answer).split(), normalise(right).split()
    if empty and not (ours and theirs):
        return float(ours == theirs)
    common = sum((Counter(ours) & Counter(theirs)).values())
    return 2 * common / (len(ours) + len(theirs)) if common else 0.0


def squad(answers: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Exact match and F1 by SQuAD v1.1: means over the questions of the best right answer's."""
    return _best_of(answers, right, overlap)


def squad2(answers: Sequence[str], right: Sequence[Sequence[str]]) -> dict[str, float]:
    """Exact match and F1 by SQuAD v2.0 (Rajpurkar et al. 2018, arXiv:1806.03822), where "" is no
    answer: over all questions, those with an answer, and those without."""
    known = [[text for text in texts if normalise(text)] or [""] for texts in right]
    f1 = functools.partial(overlap, empty=True)
    figures = _best_of(answers, known, f1)
    for name, wanted in (("answerable", True), ("unanswerable", False)):
        part = [i for i, texts in enumerate(known) if (texts != [""]) == wanted]
        if part:
            found = _best_of([answers[i] for i in part], [known[i] for i in part], f1)
            figures |= {f"{metric} ({name})": value for metric, value in found.items()}
    return figures


def _best_of(
    answers: Sequence[str], right: Sequence[Sequence[str]], f1: Callable[[str, str], float]
) -> dict[str, float]:
    pairs = list(zip(answers, right, strict=True))
    return {
        name: _mean([max(score(answer, text) for text in texts) for answer, texts in pairs])
        for name, score in (("exact match", exact), ("F1", f1))
    }


def labels(
    given: Sequence[Set[str]], right: Sequence[Set[str]], names: Sequence[str]
) -> dict[str, float]:
    """Macro-F1 (the mean over `names`; 0 for a label that is never right or given) and micro-F1
    (over all pairs of text and label) as in scikit-learn's f1_score; subset accuracy, the share of
    wholly right sets."""
    pairs = list(zip(given, right, strict=True))
    counts = [_counts([(name in g, name in r) for g, r in pairs]) for name in names]
    totals = [sum(column) for column in zip(*counts, strict=True)]
    return {
        "macro-F1": _mean([_f1(*count) for count in counts]),
        "micro-F1": 100 * _f1(*totals),
        "subset accuracy": _mean([float(g == r) for g, r in pairs]),
    }


def classes(given: Sequence[str], right: Sequence[str], names: Sequence[str]) -> dict[str, float]:
    """Accuracy, and macro-F1 over the `names` that occur."""
    occur = [name for name in names if name in {*given, *right}]
    found = labels([{g} for g in given], [{r} for r in right], occur)
    return {"accuracy": found["subset accuracy"], "macro-F1": found["macro-F1"]}


def entities(given: Sequence[Set[Hashable]], right: Sequence[Set[Hashable]]) -> dict[str, float]:
    """Precision, recall and F1 over all entities; one is right if its type and its span are
    (CoNLL-2003; Tjong Kim Sang and De Meulder 2003, arXiv:cs/0306050)."""
    hits = sum(len(g & r) for g, r in zip(given, right, strict=True))
    ours, theirs = sum(map(len, given)), sum(map(len, right))
    return {
        "precision": 100 * hits / ours if ours else 0.0,
        "recall": 100 * hits / theirs if theirs else 0.0,
        "F1": 100 * _f1(hits, ours, theirs),
    }


def cosine(given: Sequence[Any], right: Sequence[Any]) -> float:
    """The mean cosine similarity, times 100, of two lists of vectors, or of token vectors [tokens,
    hidden], which count as one. It is 0 where the lengths differ."""
    return _mean([_cosine(np.ravel(g), np.ravel(r)) for g, r in zip(given, right, strict=True)])


def correlations(given: Sequence[float], right: Sequence[float]) -> dict[str, float]:
    """Pearson's correlation, and Spearman's, which is that of the ranks, equal values sharing their
    mean rank; as in GLUE's STS-B. 0 where one side is constant."""
    a, b = np.asarray(given, np.float64), np.asarray(right, np.float64)
    return {"Pearson": _correlation(a, b), "Spearman": _correlation(_ranks(a), _ranks(b))}


def ranking(orders: Sequence[Sequence[int]], right: Sequence[Set[int]]) -> dict[str, float]:
    """Of the places of the documents, best first, and which of them are right: the mean reciprocal
    rank of the first right one, and the normalised discounted cumulative gain (Jarvelin and
    Kekalainen 2002), both among the first ten, as in MS MARCO and BEIR."""
    pairs = [([i in r for i in order[:10]], len(r)) for order, r in zip(orders, right, strict=True)]
    return {
        "MRR@10": _mean([1 / (1 + hits.index(True)) if any(hits) else 0.0 for hits, _ in pairs]),
        "NDCG@10": _mean([_gain(hits) / _gain([True] * min(n, 10)) for hits, n in pairs]),
    }


def iou(a: Mapping[str, float], b: Mapping[str, float]) -> float:
    """Intersection over union of two boxes, 0 to 1; 1 for two equal ones, also without area."""
    if all(a[corner] == b[corner] for corner in a):
        return 1.0
    width = min(a["xmax"], b["xmax"]) - max(a["xmin"], b["xmin"])
    height = min(a["ymax"], b["ymax"]) - max(a["ymin"], b["ymin"])
    common = max(width, 0) * max(height, 0)
    areas = sum((box["xmax"] - box["xmin"]) * (box["ymax"] - box["ymin"]) for box in (a, b))
    return common / (areas - common) if areas > common else 0.0


def _gain(hits: Sequence[bool]) -> float:
    return float(sum(hit / np.log2(2 + place) for place, hit in enumerate(hits)))


def _ranks(values: Any) -> Any:
    _, which, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts - 1) / 2)[which]


def _correlation(a: Any, b: Any) -> float:
    a, b = a - a.mean(), b - b.mean()
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(100 * (a @ b) / norms) if norms else 0.0


def _cosine(a: Any, b: Any) -> float:
    norms = np.linalg.norm(a) * np.linalg.norm(b)
    return float(a @ b / norms) if a.shape == b.shape and norms else 0.0


def _counts(pairs: Sequence[tuple[bool, bool]]) -> tuple[int, int, int]:
    """How many are both, given, right."""
    return sum(map(all, pairs)), sum(g for g, _ in pairs), sum(r for _, r in pairs)


def _f1(hits: int, given: int, right: int) -> float:
    return 2 * hits / (given + right) if hits else 0.0


def _mean(values: Sequence[float]) -> float:
    return 100 * sum(values) / len(values)

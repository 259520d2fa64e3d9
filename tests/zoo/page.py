"""docs/models.md from the outcomes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from tests.zoo.compare import FAR, REFUSED, Outcome
from tests.zoo.pairs import Pair

WAYS = {  # column -> saved by, prepared under
    "transformers 5": (5, 5),
    "saved by 4, prepared under 5": (4, 5),
    "transformers 4": (4, 4),
}
INTRODUCTION = """# Models

What people have, tried: {count} pairs of an architecture and a head, each with the kind of
tokenizer that its models have. Of each pair a tiny model with random weights is built and saved by
transformers 5 and by transformers 4, prepared, served, and asked texts of one to forty words, or
pictures of several shapes, one by one and all in one request. The answers are compared with those
of the library that made the model: transformers' pipeline, or sentence-transformers.

- **ok**: every number is within {far} of the answer's largest, and attention is one operator, or
  there is none to fuse.
- **slower**: as right, but attention is served as exported.
- **refused**: `prepare` says why, in a moment; the reasons are below.

`make zoo` does all this again and writes this page. It shows that answers are right, not how good
or fast a trained model is: [prepare](prepare.md) measures that for the model at hand.
"""
NEWER = """A folder that transformers 5 saved is refused under transformers 4, which would read some
of it wrongly without a word: all {count} pairs of that way are. What to install is said.
"""


def read(work: Path, pairs: Sequence[Pair]) -> list[Outcome]:
    """The outcomes kept below `work`."""
    found = (sorted(work.glob(f"*/{pair.name}/outcome-*.json")) for pair in pairs)
    return [Outcome(**json.loads(path.read_text())) for paths in found for path in paths]


def write(path: Path, pairs: Sequence[Pair], outcomes: Sequence[Outcome]) -> None:
    """Write the page of `pairs`."""
    found = {(o.pair, o.saved, o.prepared): o for o in outcomes}
    newer = [o for o in outcomes if o.saved > o.prepared and o.outcome == REFUSED]
    introduction = INTRODUCTION.format(count=len(pairs), far=f"{FAR:g}")
    refused = "\n".join(_reasons(pairs, outcomes))
    parts = [introduction, "\n".join(_table(pairs, found)), "\n## Refused, and why\n", refused]
    text = "\n".join([*parts, "", NEWER.format(count=len(newer)) if newer else ""])
    path.write_text(text.rstrip() + "\n", encoding="utf-8")


def _table(pairs: Iterable[Pair], found: Mapping[tuple[str, int, int], Outcome]) -> Iterator[str]:
    yield _row(["architecture", "task", "tokenizer", *WAYS])
    yield _row(["---"] * (3 + len(WAYS)))
    for pair in pairs:
        outcomes = (found.get((pair.name, *way)) for way in WAYS.values())
        cells = [outcome.outcome if outcome else "not tried" for outcome in outcomes]
        yield _row([pair.architecture, _task(pair), _tokenizer(pair), *cells])


def _row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _task(pair: Pair) -> str:
    return f"{pair.task}, {pair.pooling} pooling" if pair.pooling else pair.task


def _tokenizer(pair: Pair) -> str:
    if not pair.vocabulary:
        return "pictures"
    return pair.vocabulary.kind + (", generic" if pair.generic else "")


def _reasons(pairs: Iterable[Pair], outcomes: Sequence[Outcome]) -> Iterator[str]:
    for pair in pairs:
        said = {
            o.detail.rpartition("/")[2]
            for o in outcomes
            if o.pair == pair.name and o.outcome == REFUSED and o.saved <= o.prepared
        }
        for reason in sorted(said):
            yield f"- {pair.architecture}, {pair.task}: {reason}"

"""What the engines are asked: one text many times, English texts, or a file's items; and when."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from random import Random
from typing import Any

from onnxferry.scripts import datasets, sections
from onnxferry.scripts.datasets import built_in
from onnxferry.system.errors import UsageError

LONGEST = 400  # words of a text
DRAWS = {
    "lognormal": lambda random, median, sigma: random.lognormvariate(math.log(median), sigma),
    "uniform": Random.uniform,
}


@dataclass(frozen=True)
class BenchmarkInputs:
    """One of `text`, `lengths` and `data`. `items`: how often the text is asked, how many texts are
    made, or how many items of the file are taken (None: all)."""

    text: str | None = None
    lengths: str | None = None
    data: Path | None = None
    items: int | None = None
    seed: int = 0

    def __str__(self) -> str:
        if self.data:
            return f"{self.items or 'all'} items of {sections.shown(self.data)}"
        what = f"English texts of {self.lengths} words (seed {self.seed})"
        return f"{self.items or 1} x " + (f'"{self.text}"' if self.text else what)


def read(asked: BenchmarkInputs, task: str, labels: Sequence[str]) -> list[Any]:
    """The items, as requests' `inputs`. Raises UsageError that names the flag."""
    if sum(map(bool, (asked.text, asked.lengths, asked.data))) != 1:
        raise UsageError("say what to ask: one of --text, --lengths and --data")
    if asked.data:
        items = datasets.read(asked.data, task, labels)
        return [item.inputs for item in datasets.evenly(items, asked.items)]
    if task == "question-answering":
        raise UsageError(f"{task} needs questions with contexts: give a file with --data")
    if asked.lengths:
        return texts(asked.lengths, asked.items or 1, asked.seed)
    return [asked.text] * (asked.items or 1)


def texts(lengths: str, count: int, seed: int) -> list[str]:
    """`count` pieces of English, of 1 to 400 words by the distribution `lengths`; equal arguments
    give equal texts."""
    kind, *numbers = lengths.split(":")
    try:
        draw, (first, second) = DRAWS[kind], map(float, numbers)
        if not first > 0 or second < 0:
            raise ValueError
    except (KeyError, ValueError) as e:
        wanted = "lognormal:MEDIAN:SIGMA or uniform:LEAST:MOST, in words, like lognormal:12:0.8"
        raise UsageError(f"--lengths {lengths}: expected {wanted}") from e
    random, words = Random(seed), _english()  # noqa: S311
    ends = (".", "?", "!")
    begins = [i for i in range(len(words) - LONGEST) if i == 0 or words[i - 1].endswith(ends)]
    found = []
    for _ in range(count):
        size, begin = round(draw(random, first, second)), random.choice(begins)
        found.append(" ".join(words[begin : begin + min(max(size, 1), LONGEST)]))
    return found


def _english() -> list[str]:
    """The words of the built-in contexts, and the first again: the last text goes on with them."""
    rows = built_in.payloads("question-answering")
    contexts = dict.fromkeys(row["inputs"]["context"] for row in rows)
    words = " ".join(contexts).split()
    return words + words[:LONGEST]


def arrivals(rate: float, count: int, seed: int) -> list[float]:
    """The seconds at which `count` requests arrive: a Poisson process of `rate` a second."""
    random = Random(seed)  # noqa: S311
    return list(accumulate(random.expovariate(rate) for _ in range(count)))


def requests(items: Sequence[Any], size: int) -> list[list[Any]]:
    """Requests of `size` items; the last may have fewer."""
    return [list(items[i : i + size]) for i in range(0, len(items), size)]

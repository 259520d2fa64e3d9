"""The answers that the question-answering pipeline of transformers 4 gave. Version 5 has no such
pipeline; what is served keeps its behaviour. `python -m tests.golden.make` writes them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent / "question_answering"
DIGITS = 7  # of a score


@dataclass(frozen=True)
class Case:
    """A pipeline's `answers`, one an item of `inputs`, by `parameters`."""

    inputs: Sequence[Mapping[str, str]]
    parameters: Mapping[str, Any]
    answers: Sequence[Any]


@dataclass(frozen=True)
class GoldenAnswers:
    """One model's: the `tokenizer` that it was given (tokenizer.json; None: its own), the `cases`,
    and the version that answered."""

    made_with: str
    tokenizer: Any
    cases: Sequence[Case]

    @classmethod
    def read(cls, name: str) -> GoldenAnswers:
        """The file `name`.jsonl: first what made it, then a row an item."""
        head, *rows = map(json.loads, _file(name).read_text(encoding="utf-8").splitlines())
        found: dict[str, Case] = {}
        for row in rows:
            case = found.setdefault(str(row["parameters"]), Case([], row["parameters"], []))
            found[str(row["parameters"])] = Case(
                [*case.inputs, row["inputs"]], row["parameters"], [*case.answers, row["answer"]]
            )
        return cls(head["made_with"], head["tokenizer"], list(found.values()))

    def write(self, name: str) -> None:
        """Scores are rounded to DIGITS."""
        rows: list[Any] = [{"made_with": self.made_with, "tokenizer": self.tokenizer}]
        for case in self.cases:
            for item, answer in zip(case.inputs, case.answers, strict=True):
                row = {"inputs": item, "parameters": case.parameters, "answer": _rounded(answer)}
                rows.append(row)
        HERE.mkdir(exist_ok=True)
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        _file(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _file(name: str) -> Path:
    return HERE / f"{name}.jsonl"


def _rounded(answer: Any) -> Any:
    if isinstance(answer, list):
        return [_rounded(each) for each in answer]
    return {**answer, "score": round(answer["score"], DIGITS)}

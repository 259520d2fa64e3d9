"""Rows in no order become files in theirs; what is not whole is no answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from onnxferry.infra.azureml.batch.answers import _Lines


def row(file: str, number: Any, **said: Any) -> str:
    return json.dumps({"file": file, "row": number, "answer": None, "error": None, **said})


def lines(path: Path, names: list[str], *rows: str) -> tuple[dict[str, list[Any]], list[str]]:
    path.write_text("".join(f"{line}\n" for line in rows)[:-1], encoding="utf-8")
    with _Lines(path, names) as found:
        whole = {
            name: [json.loads(answer) for answer in found.of(name)]
            for name in found.whole(one_row=False)
        }
        return whole, found.notes


def test_rows_are_sorted_and_told_apart_by_their_files(tmp_path: Path) -> None:
    error = {"code": "invalid_body", "message": "no"}
    found, notes = lines(
        tmp_path / "rows",
        ["a.jsonl", "deep/a.jsonl", "b.jsonl", "cut.jsonl", "bad.csv", "late.jsonl"],
        row("/mnt/in/deep/a.jsonl", 1, answer="é"),
        row("a.jsonl", 10, answer=10),
        *(row("a.jsonl", i, answer=i) for i in (3, 2, 9, 1, 0, 4, 8, 5, 7, 6)),
        row("a.jsonl", 3, answer=3),  # tried again
        row("deep/a.jsonl", 0, error=error),
        row("b.jsonl", 0, answer={"error": "an answer"}),
        row("cut.jsonl", 0),
        row("cut.jsonl", 2),
        row("late.jsonl", 2),
        row("bad.csv", None, error=error),
        row("others.txt", 0),
        '{"file": "b.jsonl", "row": 1, "ans',
    )
    assert found == {
        "a.jsonl": list(range(11)),
        "deep/a.jsonl": [{"error": error}, "é"],
        "b.jsonl": [{"error": "an answer"}],
    }
    assert notes[0] == "bad.csv: no"
    assert notes[1:] == [
        "cut.jsonl: 2 of its rows came, and not all",
        "late.jsonl: 1 of its rows came, and not all",
    ]

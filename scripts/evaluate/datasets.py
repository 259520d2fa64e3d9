"""Evaluation sets as they are published, and a user's own: each becomes items of (inputs, right
answer).

question-answering     .json   SQuAD v1.1 or v2.0
text-classification    .tsv    sentence, label: SST-2 with its header, GoEmotions without; a label
is a name or an
                               index, several are separated by commas
both                   .jsonl  {"inputs": what a request's inputs hold, "answer": a text, a label,
or a list of them}
token-classification   .conll, .txt, .bio   a token and its tag a line, tag last, a blank line
between sentences
image-classification   a folder with one subfolder of pictures a label; a label is a name or an
index
feature-extraction     .txt    a text a line; .jsonl  {"inputs": text}: the right answers are the
source model's
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scripts.request_file import MEDIA_TYPES
from onnxferry.system.errors import UsageError
from onnxferry.system.hashes import combined_sha256, sha256

FOLDER = "folder"  # in the place of a suffix
# file names that say which part of a set, but not of which set
SPLITS = ("train", "dev", "validation", "test")


@dataclass(frozen=True)
class Item:
    """`inputs` as one request carries them. `right`: the texts that are right answers, the labels,
    or the entities as (type, start, end) in characters; empty where only a source model knows.
    `where` names a picture's file."""

    inputs: Any
    right: tuple[Any, ...]
    where: str = ""


def read(path: Path, task: str, names: Sequence[str]) -> list[Item]:
    """The items of an evaluation set; `names` are the model's labels.

    Raises UsageError that names the file, the line and what it should hold.
    """
    known = READERS.get(task)
    if known is None:
        raise UsageError(f"no metric for task '{task}'; there is one for {', '.join(READERS)}")
    kind = FOLDER if path.is_dir() else path.suffix
    if kind not in known:
        wanted = (
            "a folder with one subfolder a label"
            if FOLDER in known
            else f"a file that ends in {' or '.join(known)}"
        )
        raise UsageError(f"--data {path}: for {task} give {wanted}")
    try:
        items = list(known[kind](path, names))
    except (ValueError, KeyError, TypeError, IndexError) as e:
        raise UsageError(
            f"--data {path}: not a {task} set ({type(e).__name__}: {e});"
            f" {__doc__.partition(':')[2]}"
        ) from e
    if not items:
        raise UsageError(f"--data {path}: holds no items")
    return items


def evenly(items: list[Item], limit: int | None) -> list[Item]:
    """`limit` of `items`, evenly over the set; all, where that is None or more."""
    if not limit or limit >= len(items):
        return items
    return [items[i * len(items) // limit] for i in range(limit)]


def digest(path: Path) -> str:
    """The sha256 of a set: of its file, or of the names and the bytes of a folder's pictures."""
    return (
        sha256(path)
        if path.is_file()
        else combined_sha256(sorted(p for p in path.rglob("*") if p.is_file()))
    )


def title(path: Path) -> str:
    """How a set is named: by its file and, where that only says which part of a set it is, its
    folder."""
    return (
        f"{path.resolve().parent.name}/{path.name}" if path.stem in SPLITS else path.resolve().name
    )


def _squad(path: Path, names: Sequence[str]) -> Iterator[Item]:
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for qa in paragraph["qas"]:
                right = (
                    tuple(answer["text"] for answer in qa["answers"])
                    if not qa.get("is_impossible")
                    else ("",)
                )
                yield Item({"question": qa["question"], "context": paragraph["context"]}, right)


def _jsonl(path: Path, names: Sequence[str]) -> Iterator[Item]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            row = json.loads(line)
            answer = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
            yield Item(row["inputs"], tuple(answer))


def _tsv(path: Path, names: Sequence[str]) -> Iterator[Item]:
    rows = [
        line.split("\t") for line in path.read_text(encoding="utf-8").split("\n") if line.strip()
    ]
    text, label = 0, 1
    if "label" in rows[0]:
        text, label = (
            next(i for i, name in enumerate(rows[0]) if name in ("sentence", "text")),
            rows[0].index("label"),
        )
        del rows[0]
    for row in rows:
        yield Item(row[text], tuple(_label(name.strip(), names) for name in row[label].split(",")))


def _label(given: str, names: Sequence[str]) -> str:
    if given in names:
        return given
    if given.isdecimal() and int(given) < len(names):
        return names[int(given)]
    raise ValueError(f"label '{given[:40]}' is neither a label of the model nor the index of one")


def _conll(path: Path, names: Sequence[str]) -> Iterator[Item]:
    sentence: list[tuple[str, str]] = []
    for line in [*path.read_text(encoding="utf-8").split("\n"), ""]:
        columns = line.split()
        if columns and columns[0] != "-DOCSTART-":
            sentence.append((columns[0], columns[-1]))
        elif sentence:
            yield Item(" ".join(word for word, _ in sentence), tuple(_entities(sentence)))
            sentence = []


def _entities(sentence: Sequence[tuple[str, str]]) -> list[tuple[str, int, int]]:
    """(type, start, end) of each entity in the words joined by a space; an I- that continues
    nothing begins one."""
    found: list[tuple[str, int, int]] = []
    before, start = "O", 0
    for word, tag in sentence:
        prefix, _, kind = tag.partition("-")
        if prefix == "I" and before == kind and found:
            found[-1] = (kind, found[-1][1], start + len(word))
        elif prefix != "O":
            found.append((kind, start, start + len(word)))
        before, start = kind if prefix != "O" else "O", start + len(word) + 1
    return found


def _pictures(path: Path, names: Sequence[str]) -> Iterator[Item]:
    for folder in sorted(p for p in path.iterdir() if p.is_dir()):
        right = (_label(folder.name, names),)
        for file in sorted(folder.iterdir()):
            if MEDIA_TYPES.get(file.suffix.lower(), "").startswith("image/"):
                yield Item(
                    base64.b64encode(file.read_bytes()).decode(),
                    right,
                    f"{folder.name}/{file.name}",
                )


def _texts(path: Path, names: Sequence[str]) -> Iterator[Item]:
    for line in path.read_text(encoding="utf-8").split("\n"):
        if line.strip():
            yield Item(json.loads(line)["inputs"] if path.suffix == ".jsonl" else line.strip(), ())


Reader = Callable[[Path, Sequence[str]], Iterator[Item]]
READERS: dict[str, dict[str, Reader]] = {
    "question-answering": {".json": _squad, ".jsonl": _jsonl},
    "text-classification": {".tsv": _tsv, ".jsonl": _jsonl},
    "token-classification": {".conll": _conll, ".txt": _conll, ".bio": _conll},
    "image-classification": {FOLDER: _pictures},
    "feature-extraction": {".txt": _texts, ".jsonl": _texts},
}

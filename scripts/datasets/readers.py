"""The formats of evaluation sets: a reader for each task and suffix."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scripts.request_file import MEDIA_TYPES

FOLDER = "folder"  # in the place of a suffix
FORMATS = """the formats are
question-answering: .json, SQuAD v1.1 or v2.0
text-classification: .tsv, sentence and label, with or without a header; several labels by commas
both: .jsonl, {"inputs": as in a request, "answer": text, label, or a list of them}
a regression's text-classification: the same with a number in the place of the label
token-classification: .conll, .txt, .bio, a token and its tag a line, a blank line between sentences
image-classification: a folder with one subfolder of pictures a label
feature-extraction: .txt, a text a line, or .jsonl, {"inputs": text}
image-feature-extraction: a folder of pictures
text-ranking: .jsonl, {"inputs": {"query", "documents"}, "answer": places of the right documents}
sentence-similarity: .tsv, two sentences and a number, or .jsonl, {"inputs": {"source_sentence",
"sentences": [one]}, "answer": number}
A label is a name or an index."""


@dataclass(frozen=True)
class Item:
    """`inputs` as a request carries them. `references`: the right texts, labels, or entities (type,
    start, end), in characters; empty where only a source model knows. `where`: a picture's file."""

    inputs: Any
    references: tuple[Any, ...]
    where: str = ""


def _squad(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for article in json.loads(path.read_text(encoding="utf-8"))["data"]:
        for paragraph in article["paragraphs"]:
            for row in paragraph["qas"]:
                question = {"question": row["question"], "context": paragraph["context"]}
                known = [{"text": ""}] if row.get("is_impossible") else row["answers"]
                yield Item(question, tuple(answer["text"] for answer in known))


def lines(path: Path) -> list[str]:
    """The lines that hold something; U+2028 ends none."""
    return [line for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _jsonl(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for row in map(json.loads, lines(path)):
        answer = row["answer"] if isinstance(row["answer"], list) else [row["answer"]]
        yield Item(row["inputs"], tuple(answer))


def _tsv(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    rows = [line.split("\t") for line in lines(path)]
    text, label = 0, 1
    if "label" in rows[0]:
        header = rows.pop(0)
        text = next(i for i, name in enumerate(header) if name in ("sentence", "text"))
        label = header.index("label")
    for row in rows:
        yield Item(row[text], tuple(_label(name, labels) for name in row[label].split(",")))


def _similar(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for line in lines(path):
        first, second, score = line.split("\t")[:3]
        inputs = {"source_sentence": first, "sentences": [second]}
        yield Item(inputs, (float(score),))


def _rankings(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for item in _jsonl(path, labels):
        if not all(type(place) is int for place in item.references) or not item.references:
            raise ValueError("'answer' must be the places of the right documents, from 0")
        yield item


def _label(text: str, labels: Sequence[str]) -> str:
    name = text.strip()
    if name in labels:
        return name
    if name.isdecimal() and int(name) < len(labels):
        return labels[int(name)]
    if len(labels) == 1 and _is_number(name):  # of a regression
        return name
    raise ValueError(f"label '{name[:40]}' is neither a label of the model nor the index of one")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _conll(path: Path, labels: Sequence[str]) -> Iterator[Item]:
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


def _images(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for folder in sorted(p for p in path.iterdir() if p.is_dir()):
        label = _label(folder.name, labels)
        for file in sorted(folder.iterdir()):
            if MEDIA_TYPES.get(file.suffix.lower(), "").startswith("image/"):
                image = base64.b64encode(file.read_bytes()).decode()
                yield Item(image, (label,), f"{folder.name}/{file.name}")


def _flat_images(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for file in sorted(path.iterdir()):
        if MEDIA_TYPES.get(file.suffix.lower(), "").startswith("image/"):
            yield Item(base64.b64encode(file.read_bytes()).decode(), (), file.name)


def _texts(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for line in lines(path):
        yield Item(json.loads(line)["inputs"] if path.suffix == ".jsonl" else line.strip(), ())


Reader = Callable[[Path, Sequence[str]], Iterator[Item]]
READERS: dict[str, dict[str, Reader]] = {
    "question-answering": {".json": _squad, ".jsonl": _jsonl},
    "text-classification": {".tsv": _tsv, ".jsonl": _jsonl},
    "token-classification": {".conll": _conll, ".txt": _conll, ".bio": _conll},
    "image-classification": {FOLDER: _images},
    "feature-extraction": {".txt": _texts, ".jsonl": _texts},
    "image-feature-extraction": {FOLDER: _flat_images},
    "text-ranking": {".jsonl": _rankings},
    "sentence-similarity": {".tsv": _similar, ".jsonl": _jsonl},
}

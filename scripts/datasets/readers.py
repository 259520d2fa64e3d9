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
from onnxferry.system.text_files import parse_json, read_object, read_text

TEXT_COLUMNS, LABEL_COLUMN = ("sentence", "text"), "label"  # of a header, in any case
FOLDER = "folder"  # in the place of a suffix
_LABELLED = (
    ".tsv: text, tab, label; or the columns that a header names 'text' (or 'sentence') and 'label';"
    " several labels by commas, a number for a regression",
    '.jsonl: {"inputs": as in a request, "answer": label, or a list of them}',
)
FORMATS: dict[str, tuple[str, ...]] = {  # by task, what can be given
    "question-answering": (
        ".json: SQuAD v1.1 or v2.0",
        '.jsonl: {"inputs": as in a request, "answer": text, or a list of them}',
    ),
    "text-classification": _LABELLED,
    "token-classification": (
        ".conll, .txt, .bio: a token and its tag a line, a blank line between sentences",
    ),
    "image-classification": ("a folder with one subfolder of pictures a label",),
    "feature-extraction": (".txt: a text a line", '.jsonl: {"inputs": text}'),
    "image-feature-extraction": ("a folder of pictures",),
    "text-ranking": (
        '.jsonl: {"inputs": {"query", "documents"}, "answer": places of the right documents}',
    ),
    "sentence-similarity": (
        ".tsv: two sentences and a number, parted by tabs",
        '.jsonl: {"inputs": {"source_sentence", "sentences": [one]}, "answer": number}',
    ),
}
_SHOWN = 8  # labels


@dataclass(frozen=True)
class Item:
    """`inputs` as a request carries them. `references`: the right texts, labels, or entities (type,
    start, end), in characters; empty where only a source model knows. `where`: a picture's file."""

    inputs: Any
    references: tuple[Any, ...]
    where: str = ""


def _squad(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for article in read_object(path, "--data ")["data"]:
        for paragraph in article["paragraphs"]:
            for row in paragraph["qas"]:
                question = {"question": row["question"], "context": paragraph["context"]}
                known = [{"text": ""}] if row.get("is_impossible") else row["answers"]
                yield Item(question, tuple(_text(answer["text"]) for answer in known))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"an answer must be a text, got {json.dumps(value)[:40]}")
    return value


def lines(path: Path) -> list[str]:
    """The lines that hold something; U+2028 ends none."""
    return [line for _, line in _numbered(path)]


def _numbered(path: Path) -> Iterator[tuple[str, str]]:
    """("line 1", the line) of those that hold something."""
    for number, line in enumerate(read_text(path, "--data ").split("\n"), 1):
        if line.strip():
            yield f"line {number}", line


def _objects(path: Path, *keys: str) -> Iterator[dict[str, Any]]:
    yield from (row for _, row in _numbered_objects(path, *keys))


def _numbered_objects(path: Path, *keys: str) -> Iterator[tuple[str, dict[str, Any]]]:
    for where, line in _numbered(path):
        row = parse_json(line, f"--data {path}, {where}")
        if not isinstance(row, dict) or any(key not in row for key in keys):
            expected = " and ".join(f'"{key}"' for key in keys)
            raise ValueError(f"{where} must be an object with {expected}, got {line[:40]}")
        yield where, row


def _answered(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for row in _objects(path, "inputs", "answer"):
        yield Item(row["inputs"], tuple(map(_text, _several(row["answer"]))))


def _labelled(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for where, row in _numbered_objects(path, "inputs", "answer"):
        names = [_label(str(name), labels, where) for name in _several(row["answer"])]
        yield Item(row["inputs"], tuple(names))


def _several(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _tsv(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    rows = [(where, line.split("\t")) for where, line in _numbered(path)]
    text, label = 0, 1
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    if LABEL_COLUMN in header:
        text, label = _columns(header)
        rows = rows[1:]
    elif len(header) != 2 and set(TEXT_COLUMNS) & set(header):
        raise ValueError(f"the columns are {', '.join(header)}: none is named '{LABEL_COLUMN}'")
    for where, row in rows:
        if len(row) <= max(text, label):
            wanted = f"the label is looked for in column {label + 1}, the text in column {text + 1}"
            raise ValueError(f"{where} has {len(row)} column(s), parted by tabs; {wanted}")
        names = [_label(name, labels, where) for name in row[label].split(",")]
        yield Item(row[text], tuple(names))


def _columns(header: list[str]) -> tuple[int, int]:
    """Where the text and the label are. The only other column is the text, whatever its name."""
    label = header.index(LABEL_COLUMN)
    others = [i for i in range(len(header)) if i != label]
    chosen = [i for i in others if header[i] in TEXT_COLUMNS] or others
    if len(chosen) != 1 and header[chosen[0] if chosen else 0] not in TEXT_COLUMNS:
        wanted = f"name the column of the texts {' or '.join(map(repr, TEXT_COLUMNS))}"
        raise ValueError(f"the columns are {', '.join(header)}: {wanted}")
    return chosen[0], label


def _similar(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for where, line in _numbered(path):
        first, second, score, *_ = *line.split("\t"), "", ""
        if not _is_number(score):
            raise ValueError(f"{where} must be two sentences and a number, parted by tabs")
        yield Item({"source_sentence": first, "sentences": [second]}, (float(score),))


def _rankings(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for row in _objects(path, "inputs", "answer"):
        if not (places := _several(row["answer"])) or not all(type(p) is int for p in places):
            raise ValueError("'answer' must be the places of the right documents, from 0")
        yield Item(row["inputs"], tuple(places))


def _compared(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for row in _objects(path, "inputs", "answer"):
        yield Item(row["inputs"], (float(_several(row["answer"])[0]),))


def _label(text: str, labels: Sequence[str], where: str) -> str:
    name = text.strip()
    if name in labels:
        return name
    if name.isdecimal() and int(name) < len(labels):
        return labels[int(name)]
    if len(labels) == 1 and _is_number(name):  # of a regression
        return name
    wrong = f"{where}: label '{name[:40]}' is neither a label of the model nor the index of one"
    more = f", and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else ""
    raise ValueError(f"{wrong}; its labels are {', '.join(labels[:_SHOWN])}{more}")


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def _conll(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    sentence: list[tuple[str, str]] = []
    for line in [*read_text(path, "--data ").split("\n"), ""]:
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
        label = _label(folder.name, labels, f"folder {folder.name}")
        for file in sorted(folder.iterdir()):
            if MEDIA_TYPES.get(file.suffix.lower(), "").startswith("image/"):
                image = base64.b64encode(file.read_bytes()).decode()
                yield Item(image, (label,), f"{folder.name}/{file.name}")


def _flat_images(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    for file in sorted(path.iterdir()):
        if MEDIA_TYPES.get(file.suffix.lower(), "").startswith("image/"):
            yield Item(base64.b64encode(file.read_bytes()).decode(), (), file.name)


def _texts(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    yield from (Item(line.strip(), ()) for line in lines(path))


def _inputs(path: Path, labels: Sequence[str]) -> Iterator[Item]:
    yield from (Item(row["inputs"], ()) for row in _objects(path, "inputs"))


Reader = Callable[[Path, Sequence[str]], Iterator[Item]]
READERS: dict[str, dict[str, Reader]] = {
    "question-answering": {".json": _squad, ".jsonl": _answered},
    "text-classification": {".tsv": _tsv, ".jsonl": _labelled},
    "token-classification": {".conll": _conll, ".txt": _conll, ".bio": _conll},
    "image-classification": {FOLDER: _images},
    "feature-extraction": {".txt": _texts, ".jsonl": _inputs},
    "image-feature-extraction": {FOLDER: _flat_images},
    "text-ranking": {".jsonl": _rankings},
    "sentence-similarity": {".tsv": _similar, ".jsonl": _compared},
}

"""Files that a user wrote: every kind is read in one way, and a malformed one is told, never a
traceback."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings, strategies

from onnxferry.scripts import datasets, model_table
from onnxferry.scripts.datasets import READERS
from onnxferry.scripts.datasets.readers import FORMATS
from onnxferry.scripts.prepare.sources import user_inputs
from onnxferry.scripts.prepare.sources.settings import labels
from onnxferry.scripts.prepare.sources.settings.user_settings import read_user_settings
from onnxferry.scripts.request_file import read_request
from onnxferry.system.errors import FerryError, UsageError
from onnxferry.system.text_files import read_text

NAMES = ("calm", "glad", "angry")
MARK, UTF8 = b"\xef\xbb\xbf", "utf-8"
SQUAD = {
    "data": [
        {"paragraphs": [{"context": "é", "qas": [{"question": "q", "answers": [{"text": "é"}]}]}]}
    ]
}


def _set(task: str) -> Callable[[Path], Any]:
    return lambda path: [(i.inputs, i.references) for i in datasets.read(path, task, NAMES)]


def _samples(path: Path) -> Any:
    return [
        json.loads(s.request.body) for s in user_inputs.read_inputs(path, "text-classification")
    ]


READ: dict[str, tuple[str, str, Callable[[Path], Any]]] = {  # what: file name, text, its reader
    "deploy.toml": ("deploy.toml", '[model]\nname = "é"\n', model_table.read_toml),
    "--settings": (
        "s.json",
        '{"max_length": 16}\n',
        lambda p: read_user_settings(p, "text-classification"),
    ),
    "--labels lines": ("l.txt", "é\nb\n", lambda p: labels.read(p, "text-classification")),
    "--labels JSON": ("l.json", '["é",\n"b"]', lambda p: labels.read(p, "text-classification")),
    "--inputs": ("i.jsonl", '{"inputs": "é"}\n{"inputs": "b"}\n', _samples),
    "--golden": ("g.json", '{"inputs":\n"é"}', lambda p: json.loads(read_request(p).body)),
    "--data tsv": ("d.tsv", "é\t0\nb\tglad\n", _set("text-classification")),
    "--data tsv header": ("d.tsv", "sentence\tlabel\né\t0\n", _set("text-classification")),
    "--data jsonl": ("d.jsonl", '{"inputs": "é", "answer": 1}\n', _set("text-classification")),
    "--data squad": (
        "d.json",
        json.dumps(SQUAD, indent=1, ensure_ascii=False),
        _set("question-answering"),
    ),
    "--data texts": ("d.txt", "é\nb\n", _set("feature-extraction")),
    "--data inputs": ("d.jsonl", '{"inputs": "é"}\n', _set("feature-extraction")),
    "--data conll": ("d.conll", "é B-PER\nb O\n\nc O\n", _set("token-classification")),
}


@pytest.mark.parametrize("what", READ)
def test_a_mark_and_the_line_ends_of_windows_change_nothing(tmp_path: Path, what: str) -> None:
    name, text, read = READ[what]
    plain, marked = tmp_path / "plain" / name, tmp_path / "marked" / name
    for path in (plain, marked):
        path.parent.mkdir()
    plain.write_bytes(text.encode())
    marked.write_bytes(MARK + text.replace("\n", "\r\n").encode())

    assert read(plain) == read(marked)
    assert "\\ufeff" not in json.dumps(read(marked))


@pytest.mark.parametrize("what", READ)
@pytest.mark.parametrize(
    ("encoding", "said"),
    [
        ("utf-16", "is UTF-16 text; save it as UTF-8"),
        ("utf-32", "is UTF-32 text; save it as UTF-8"),
        ("utf-16-le", "holds zero bytes"),
        ("latin-1", "is not UTF-8 text: line 1 holds the byte 0xe9"),
    ],
)
def test_another_encoding_is_told(tmp_path: Path, what: str, encoding: str, said: str) -> None:
    name, text, read = READ[what]
    path = tmp_path / name
    path.write_bytes(("é" + text.replace("\n", " ")).encode(encoding))

    with pytest.raises(UsageError, match=said) as caught:
        read(path)
    assert str(path) in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--labels .*: cannot be read: Is a directory"):
        read_text(tmp_path, "--labels ")


@pytest.mark.parametrize(
    ("task", "name", "text", "said"),
    [
        (
            "text-classification",
            "a.tsv",
            "id\treview\tlabel\n1\tgood\t0\n",
            "the columns are id, review, label: name the column of the texts 'sentence' or 'text'",
        ),
        ("text-classification", "a.tsv", "label\n0\n", "the columns are label: name the column"),
        ("text-classification", "a.tsv", "good\t0\nbad\n", "line 2 has 1 column"),
        ("text-classification", "a.tsv", "id\ttext\tscore\n1\tgood\t0\n", "none is named 'label'"),
        (
            "text-classification",
            "a.tsv",
            "bad\t0\ngood\tmerry\n",
            "line 2: label 'merry' is neither .*; its labels are calm, glad, angry",
        ),
        ("text-classification", "a.jsonl", '{"inputs": "a"}', 'object with "inputs" and "answer"'),
        ("text-classification", "a.jsonl", '{"inputs": "a", "answer": "x"}', "label 'x' is nei"),
        ("text-classification", "a.jsonl", "[" * 9999, "not readable as JSON"),
        ("question-answering", "a.jsonl", '{"inputs": {}, "answer": 3}', "answer must be a text"),
        ("question-answering", "a.json", "{}", "lacks the key 'data'"),
        ("question-answering", "a.json", "[]", "expected a JSON object, got list"),
        ("feature-extraction", "a.jsonl", '"text"', 'must be an object with "inputs"'),
    ],
)
def test_a_malformed_set_is_told(
    tmp_path: Path, task: str, name: str, text: str, said: str
) -> None:
    (tmp_path / name).write_text(text, encoding=UTF8)
    with pytest.raises(UsageError, match=said) as told:
        datasets.read(tmp_path / name, task, NAMES)
    if "expected a JSON" not in said and "not readable" not in said:
        assert str(told.value).splitlines()[1:] == list(FORMATS[task])  # and of no other task


def test_every_task_with_a_reader_tells_its_formats() -> None:
    assert {*FORMATS} == {*READERS}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("sentence\tlabel\ngood\t1\n", ("good", ("glad",))),
        ("label\ttext\n1\tgood\n", ("good", ("glad",))),
        ("Text\tLabel\ngood\t1\n", ("good", ("glad",))),
        ("label\treview\n1\tgood\n", ("good", ("glad",))),  # the only other column
        ("id\tsentence\tlabel\n7\tgood\tcalm,glad\n", ("good", ("calm", "glad"))),
    ],
)
def test_the_columns_of_a_set_are_found(tmp_path: Path, text: str, expected: Any) -> None:
    (tmp_path / "a.tsv").write_text(text, encoding=UTF8)
    (item,) = datasets.read(tmp_path / "a.tsv", "text-classification", NAMES)
    assert (item.inputs, item.references) == expected


_VALUES = strategies.recursive(
    strategies.none() | strategies.booleans() | strategies.integers() | strategies.text(max_size=3),
    lambda inner: (
        strategies.lists(inner, max_size=3)
        | strategies.dictionaries(
            strategies.sampled_from(
                ["data", "paragraphs", "qas", "question", "context", "answers", "text", "inputs"]
            )
            | strategies.sampled_from(["answer", "is_impossible", "max_length", "labels"]),
            inner,
            max_size=4,
        )
    ),
    max_leaves=12,
)
_FILES = strategies.binary(max_size=60) | _VALUES.map(lambda value: json.dumps(value).encode())
_READERS = [(task, kind) for task, kinds in READERS.items() for kind in kinds if kind != "folder"]


@settings(max_examples=300)
@given(content=_FILES, reader=strategies.sampled_from(_READERS))
def test_no_set_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, reader: tuple[str, str]
) -> None:
    task, kind = reader
    path = tmp_path_factory.mktemp("set") / f"a{kind}"
    path.write_bytes(content)
    _read_or_told(lambda: datasets.read(path, task, NAMES))


@settings(max_examples=200)
@given(
    content=_FILES,
    what=strategies.sampled_from(["--settings", "--labels JSON", "--inputs", "--golden"]),
)
def test_no_other_file_ends_in_a_traceback(
    tmp_path_factory: pytest.TempPathFactory, content: bytes, what: str
) -> None:
    path = tmp_path_factory.mktemp("file") / READ[what][0]
    path.write_bytes(content)
    if what == "--golden":
        _read_or_told(lambda: user_inputs.read_golden(path))
    else:
        _read_or_told(lambda: READ[what][2](path))


def _read_or_told(read: Callable[[], Sequence[Any]]) -> None:
    try:
        read()
    except FerryError as e:
        assert str(e)

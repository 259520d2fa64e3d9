"""Folders of pictures: a row a file, with its path. What is no picture at all is the task's to
tell."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import pyarrow as pa

from onnxferry.scripts.score.formats.reading import File, Rows, Survey
from onnxferry.scripts.score.job import TextFormat

_SCHEMA = pa.schema([("path", pa.string()), ("image", pa.large_binary())])


def survey(files: Sequence[File], text: TextFormat) -> Survey:
    """A row a file."""
    return Survey(_SCHEMA, (1,) * len(files))


def read(file: File, schema: pa.Schema, text: TextFormat) -> Iterator[Rows]:
    """The file's row; one that cannot be read is broken."""
    broken: dict[int, str] = {}
    image = None
    try:
        image = file.path.read_bytes()
    except OSError as e:
        broken = {0: f"invalid_image: the file cannot be read: {e.strerror}"}
    name = file.name.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    yield Rows(pa.RecordBatch.from_pydict({"path": [name], "image": [image]}, schema), broken)

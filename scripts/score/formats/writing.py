"""What writers do: a part of the output at a time, then all parts as one file."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from onnxferry.scripts.score.formats.text_file import opened

Write = Callable[[pa.RecordBatch], object]


@dataclass(frozen=True)
class Writer:
    """`part`: within the block, batches are written to a file. `joined`: a file of all parts.
    `check` raises pa.ArrowException for a schema that cannot be written."""

    part: Callable[[Path, pa.Schema], AbstractContextManager[Write]]
    joined: Callable[[Path, Sequence[Path], pa.Schema], None]
    check: Callable[[pa.Schema], object]


def text_writer(
    text: Callable[[pa.RecordBatch], bytes], head: Callable[[pa.Schema], bytes] = lambda schema: b""
) -> Writer:
    """Of a format whose parts stand one behind the other, behind a `head`."""

    @contextmanager
    def part(path: Path, schema: pa.Schema) -> Iterator[Write]:
        with opened(path, "wb") as file:
            yield lambda batch: file.write(text(batch))

    def joined(path: Path, parts: Sequence[Path], schema: pa.Schema) -> None:
        with opened(path, "wb") as file:
            file.write(head(schema))
        with path.open("ab") as file:  # what is packed part by part is unpacked as one
            for one in parts:
                with one.open("rb") as source:
                    shutil.copyfileobj(source, file, 1 << 20)

    def check(schema: pa.Schema) -> None:
        text(pa.RecordBatch.from_arrays([pa.nulls(1, of) for of in schema.types], schema=schema))

    return Writer(part, joined, check)

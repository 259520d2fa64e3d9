"""What `onnxferry score` reads and writes: a row a format, with the suffixes of its files."""

from __future__ import annotations

from pathlib import PurePath

from onnxferry.scripts.request_file import MEDIA_TYPES
from onnxferry.scripts.score.formats import csv_file, json_lines, parquet, pictures
from onnxferry.scripts.score.formats.reading import Reader
from onnxferry.scripts.score.formats.text_file import OPENERS, unpacked
from onnxferry.scripts.score.formats.writing import Writer

READERS: dict[str, Reader] = {
    "Parquet": Reader(parquet.survey, parquet.read),
    "CSV": Reader(csv_file.survey, csv_file.read),
    "JSON Lines": Reader(json_lines.survey, json_lines.read),
    "pictures": Reader(pictures.survey, pictures.read, dropped=("image",)),
}
WRITERS: dict[str, Writer] = {
    "Parquet": parquet.WRITER,
    "CSV": csv_file.WRITER,
    "JSON Lines": json_lines.WRITER,
}
_SUFFIXES = {
    ".parquet": "Parquet",
    ".csv": "CSV",
    ".tsv": "CSV",
    ".jsonl": "JSON Lines",
    ".ndjson": "JSON Lines",
    ".json": "JSON Lines",
    **{suffix: "pictures" for suffix, of in MEDIA_TYPES.items() if of.startswith("image/")},
}
_TO = (".parquet", ".csv", ".jsonl", ".ndjson")  # a .tsv has no quotes, so not every text fits


def of(name: str) -> str:
    """The format of a file by its name; "" for an unknown one."""
    found = _SUFFIXES.get(unpacked(name).suffix, "")
    packed = PurePath(name.lower()).suffix in OPENERS
    return found if not packed or found in ("CSV", "JSON Lines") else ""


def writer(name: str) -> Writer | None:
    """What writes a file of this name; None for an unknown suffix."""
    return WRITERS.get(of(name)) if unpacked(name).suffix in _TO else None


def suffixes() -> str:
    """Those that files to write may have."""
    return f"{', '.join(_TO)}; those of text also with {' or '.join(OPENERS)} behind"

"""Text files that may be large, in any encoding, packed or not, a line at a time."""

from __future__ import annotations

import bz2
import csv
import gzip
import lzma
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any

from onnxferry.scripts.score.job import TextFormat
from onnxferry.system.errors import UsageError

OPENERS: dict[str, Callable[..., Any]] = {".gz": gzip.open, ".bz2": bz2.open, ".xz": lzma.open}
_DAMAGED = (EOFError, zlib.error, lzma.LZMAError, gzip.BadGzipFile)


def unpacked(name: str) -> PurePath:
    """A file's name in small letters, without the suffix of its packing."""
    path = PurePath(name.lower())
    return path.with_suffix("") if path.suffix in OPENERS else path


def has_tabs(name: str) -> bool:
    """Whether a file's name says that tabs are between its cells, which have no quotes then."""
    return unpacked(name).suffix == ".tsv"


def opened(path: Path, mode: str, **how: Any) -> Any:
    """The open file, packed as its suffix says."""
    return OPENERS.get(path.suffix.lower(), open)(path, mode, **how)


@contextmanager
def text_of(path: Path, text: TextFormat, newline: str) -> Iterator[Any]:
    """The open file's text, without a byte-order mark. Within the block, that it is damaged or in
    another encoding is a UsageError that says so."""
    utf8 = text.encoding.lower().replace("_", "-") in ("utf-8", "utf8")
    encoding = "utf-8-sig" if utf8 else text.encoding
    try:
        with opened(path, "rt", encoding=encoding, newline=newline) as file:
            yield file
    except LookupError as e:
        raise UsageError(f"--encoding {text.encoding}: Python knows no such encoding") from e
    except UnicodeError as e:
        byte = f" (byte 0x{e.object[e.start]:02x})" if isinstance(e, UnicodeDecodeError) else ""
        advice = "give its encoding by --encoding, like latin-1, cp1252 or utf-16"
        raise UsageError(f"{path}: is not {text.encoding} text{byte}; {advice}") from e
    except _DAMAGED as e:
        raise UsageError(f"{path}: cannot be unpacked: {e}; is it whole?") from e
    except csv.Error as e:
        raise UsageError(f"{path}: not readable as CSV: {e}") from e
    except OSError as e:
        raise UsageError(f"{path}: cannot be read: {e.strerror or e}") from e

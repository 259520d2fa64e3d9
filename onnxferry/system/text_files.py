"""Text files that a user wrote, all read in one way: UTF-8, with or without a byte-order mark, with
the line ends of any system. Editors and PowerShell write marks that belong to no text."""

from __future__ import annotations

import codecs
import json
from pathlib import Path
from typing import Any

from onnxferry.system.errors import UsageError

# the longer mark first: UTF-32 begins as UTF-16 does
_OTHER_MARKS = {
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
}


def read_text(path: Path, flag: str = "") -> str:
    """The text of a file, its lines ended by a newline. Raises UsageError, which begins with
    `flag`, where it cannot be read or is not UTF-8."""
    text = read_bytes(path, flag).decode("utf-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_bytes(path: Path, flag: str = "") -> bytes:
    """As `read_text`, in UTF-8 without a mark; line ends are kept."""
    try:
        data = path.read_bytes()
    except OSError as e:
        raise UsageError(f"{flag}{path}: cannot be read: {e.strerror}") from e
    data = data.removeprefix(codecs.BOM_UTF8)
    if why := _not_utf8(data):
        raise UsageError(f"{flag}{path}: {why}; save it as UTF-8")
    return data


def _not_utf8(data: bytes) -> str:
    marked = [name for mark, name in _OTHER_MARKS.items() if data.startswith(mark)]
    if marked:
        return f"is {marked[0]} text"
    if b"\0" in data:
        return "holds zero bytes, as UTF-16 text and binary files do"
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        return f"is not UTF-8 text: line {line} holds the byte 0x{data[e.start]:02x}"
    return ""


def read_json(path: Path, flag: str = "") -> Any:
    """The data of a JSON file. Raises UsageError as `read_text`, or where it is not JSON."""
    return parse_json(read_text(path, flag), f"{flag}{path}")


def parse_json(text: str, where: str) -> Any:
    """The data of a JSON text. Raises UsageError, which names `where`."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as e:
        raise UsageError(f"{where}: not readable as JSON ({e})") from e


def read_object(path: Path, flag: str = "") -> dict[str, Any]:
    """The object in a JSON file. Raises UsageError as `read_json`, or for another value."""
    data = read_json(path, flag)
    if not isinstance(data, dict):
        raise UsageError(f"{flag}{path}: expected a JSON object, got {type(data).__name__}")
    return data

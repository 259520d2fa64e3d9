"""Libraries for a host in which nothing but our app imports them: less of them than `wheels` keeps,
native parts without symbols, modules compiled, metadata without the readme. Made once and kept
beside the wheel's folder."""

from __future__ import annotations

import hashlib
import re
from email import message_from_string
from pathlib import Path

from onnxferry.scripts.package import bytecode, elf
from onnxferry.scripts.package.bytecode import Compiler
from onnxferry.scripts.package.layout import tree
from onnxferry.system.files import replacing

_RECIPE = "3"  # counted up when the same rules make other files


def slimmed(folder: Path, dropped: re.Pattern[str], compiled_by: Compiler | None) -> Path:
    """The folder of what is made of `folder`, a wheel's, without the files that `dropped` finds."""
    by = compiled_by.version if compiled_by else ""
    made_of = "\n".join((folder.name, dropped.pattern, by, _RECIPE))
    key = hashlib.sha256(made_of.encode()).hexdigest()[:12]
    made = folder.with_name(f"{folder.name}-slim-{key}")
    if not made.is_dir():
        with replacing(made) as fresh:
            _copy(folder, fresh, dropped)
            if compiled_by:
                bytecode.without_sources(fresh, compiled_by)
    return made


def _copy(folder: Path, fresh: Path, dropped: re.Pattern[str]) -> None:
    fresh.mkdir()
    for entry in tree(folder, ""):
        if not dropped.search(entry.path):
            path = fresh / entry.path
            path.parent.mkdir(parents=True, exist_ok=True)
            is_metadata = entry.path.endswith(".dist-info/METADATA")
            path.write_bytes((_headers if is_metadata else elf.loaded)(entry.read()))


def _headers(metadata: bytes) -> bytes:
    """Without the readme, and without the text of a licence, which has a file of its own."""
    found = message_from_string(metadata.decode()).items()
    lines = [(name, text.splitlines()[0] if name == "License" else text) for name, text in found]
    return "".join(f"{name}: {text}\n" for name, text in lines).encode()

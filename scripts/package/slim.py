"""Libraries as small as a host bears: native parts without symbols, metadata without the readme,
modules compiled where the package brings byte code, and, where nothing but our app imports them,
less of them than `wheels` keeps. Made once and kept beside the wheel's folder."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from email import message_from_string
from pathlib import Path
from typing import Any

from onnxferry.scripts.package import bytecode, elf, wheels
from onnxferry.scripts.package.bytecode import Compiler
from onnxferry.scripts.package.layout import Entry, tree
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.system.files import replacing

_RECIPE = "3"  # counted up when the same rules make other files

# Tools, tests, and Pillow's formats that scoring refuses (scoring/images.py).
_UNUSED = r"""
    ^numpy/distutils/ | ^numpy/_core/(_simd|_\w+_tests)\.
    | ^PIL/(?!(Bmp|Gif|Jpeg|Mpo|Png|Ppm|Tiff|WebP)Image)\w+(Image|Stub)Plugin\.
    | ^PIL/(Image(Cms|Grab|Qt|Tk|Win)|\w*FontFile|P(DF|S|df)\w+|report|_tkinter_finder|__main__)\.py
    | ^werkzeug/(debug|middleware|routing|testapp|_reloader)
"""
# Parts of numpy that no task of scoring uses; a custom task may.
_CUSTOM_ONLY = r" | ^numpy/(f2py|fft|polynomial|random|testing|_core/tests)/"
_NOTHING = re.compile("(?!)")


def brought(
    model: CheckedModel, under: str, further: Sequence[str] = (), alone: bool = False, **source: Any
) -> list[Entry]:
    """What scoring imports for `model`, and `further` distributions, as files below `under`, from
    `source` as wheels.folders has it. `alone`: nothing but our app imports them."""
    rules = dropped(model.spec.task) if alone else _NOTHING
    folders = wheels.folders(model, further, **source)
    made = [slimmed(folder, rules, model.compiler) for folder in folders]
    return [entry for folder in made for entry in tree(folder, under, compiled=True)]


def dropped(task: str) -> re.Pattern[str]:
    """What finds the libraries' files that `task` does without."""
    from onnxferry.scoring.tasks.custom import PREFIX  # imports onnxruntime

    return re.compile(_UNUSED if task.startswith(PREFIX) else _UNUSED + _CUSTOM_ONLY, re.VERBOSE)


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

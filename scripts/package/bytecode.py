"""Byte code in a package. A platform that mounts a package read-only compiles what it imports at
each start, unless the package brings it compiled.

A library becomes modules without sources, since it has native parts for one Python anyway or serves
one that has, and without docstrings and assertions (as by python -OO), which makes it as large as
its sources were. Our code keeps its sources, of which a traceback shows the lines. Neither asks for
a file's time: an archive has none.
"""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from onnxferry.system.errors import PackageError
from onnxferry.system.pythons import find_python

# the number in each file of byte code, one for all releases of a version; before the first release
# it is another
_MAGIC = {"3.10": 3439, "3.11": 3495, "3.12": 3531, "3.13": 3571}
_PROBE = """
import importlib.util, platform
print(platform.python_version(), int.from_bytes(importlib.util.MAGIC_NUMBER[:2], "little"))
"""
# numpy gives the docstrings of these functions to others in C, which take no None
_WITH_DOCSTRINGS = ("numpy/_core/multiarray.py",)
_COMPILE = ["-s", "-S", "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]


@dataclass(frozen=True)
class Compiler:
    """The interpreter that compiles, and its version ("3.12.1")."""

    path: Path
    version: str


def compiler(python: str) -> Compiler | None:
    """An interpreter on this machine whose byte code every release of Python `python` ("3.12")
    loads."""
    if (found := find_python(python)) is None:
        return None
    command = [str(found), "-I", "-S", "-c", _PROBE]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    version, magic = done.stdout.split()
    return Compiler(found, version) if int(magic) == _MAGIC.get(python) else None


def without_sources(folder: Path, compiled_by: Compiler) -> None:
    """Put each module's byte code in its source's place."""
    _compile(folder, folder, compiled_by, "-b", "-o2")
    for path in filter(Path.is_file, map(folder.joinpath, _WITH_DOCSTRINGS)):
        _compile(path, folder, compiled_by, "-b", "-f")
    for source in folder.rglob("*.py"):
        source.unlink()


def beside_sources(sources: Mapping[str, bytes], compiled_by: Compiler) -> dict[str, bytes]:
    """The byte code of the modules with these paths, by the paths where Python looks for it."""
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        for name, content in sources.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        _compile(folder, folder, compiled_by)
        return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.pyc")}


def _compile(what: Path, folder: Path, by: Compiler, *options: str) -> None:
    """In one fresh process that goes through `what` in order, so that the same interpreter makes
    the same bytes, with no path of this machine in them, `folder` being cut off."""
    kept = {name: text for name, text in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        [str(by.path), *_COMPILE, *options, "-s", str(folder), str(what)],
        check=False,
        capture_output=True,
        text=True,
        env={**kept, "PYTHONHASHSEED": "0"},
        cwd=by.path.parent,  # is on the path of what is run by -m
    )
    if done.returncode:
        said = (done.stdout + done.stderr).replace(f"{folder}/", "").strip()
        raise PackageError(f"Python {by.version} cannot compile what is packed:\n{said[-2000:]}")

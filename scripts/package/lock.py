"""Write hashes.txt, which holds what the wheels of pins.txt may be. After a change of pins.txt:
python -m scripts.package.lock
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

from onnxferry.scripts.package import container, functions, pins, wheels
from onnxferry.scripts.package.model import FETCH
from onnxferry.system.files import replacing
from onnxferry.system.hashes import sha256

PYTHONS = ("3.10", "3.11", "3.12", "3.13")
_TASKS = ("tokenizers", "pillow", FETCH)
BROUGHT = {*wheels.SCORING, *_TASKS, *functions.LIBRARIES, *container.LIBRARIES}

_HEAD = "# Made by python -m scripts.package.lock of pins.txt: the wheels for Linux on x86_64.\n"


def write(file: Path = pins.HASHES, names: Iterable[str] = BROUGHT) -> None:
    """Fetch the wheels of `names` for each Python by pip, and write their hashes to `file`."""
    found: dict[str, set[str]] = {}
    for python in PYTHONS:
        with tempfile.TemporaryDirectory() as scratch:
            for requirement in pins.select(names, python):
                folder = Path(scratch) / requirement
                folder.mkdir()
                wheels.download([requirement], python, {**os.environ, "TMPDIR": str(folder)})
                hashes = {sha256(wheel) for wheel in folder.glob("*.whl")}
                found.setdefault(requirement, set()).update(hashes)
    lines = [" ".join((name, *_options(hashes))) for name, hashes in sorted(found.items())]
    with replacing(file) as fresh:
        fresh.write_text(_HEAD + "".join(f"{line}\n" for line in lines), encoding="utf-8")


def _options(hashes: set[str]) -> list[str]:
    return [f"--hash=sha256:{one}" for one in sorted(hashes)]


if __name__ == "__main__":
    write()

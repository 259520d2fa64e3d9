"""Native libraries without symbols: what is mapped into memory is the same, and they still load."""

from __future__ import annotations

import importlib.machinery
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import markupsafe._speedups
import pytest

from onnxferry.scripts.package import elf

LIBRARY = Path(markupsafe._speedups.__file__ or "")
LOAD = """
import sys, importlib.util
spec = importlib.util.spec_from_file_location("markupsafe._speedups", sys.argv[1])
module = importlib.util.module_from_spec(spec)
spec.loader.exec_module(module)
print(module._escape_inner("<&>"))
"""
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux's libraries")


def segments(library: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each segment's header, and its bytes in the file."""
    table, each, count = (int.from_bytes(library[a:b], "little") for a, b in PLACES)
    for start in range(table, table + each * count, each):
        header = library[start : start + each]
        offset, length = (int.from_bytes(header[n : n + 8], "little") for n in (8, 32))
        yield header, library[offset : offset + length]


PLACES = ((32, 40), (54, 56), (56, 58))


def test_what_is_mapped_stays_and_the_rest_goes() -> None:
    before = LIBRARY.read_bytes()
    after = elf.loaded(before)

    kept = [(header, content[64:]) for header, content in segments(before)]  # the file's own header
    assert [(header, content[64:]) for header, content in segments(after)] == kept
    assert len(kept) > 3
    assert b".symtab" in before or b".shstrtab" in before
    assert b".symtab" not in after
    assert b".shstrtab" not in after
    assert len(after) < len(before)
    assert elf.loaded(after) == after


def test_it_loads_and_answers(tmp_path: Path) -> None:
    path = tmp_path / f"_speedups{importlib.machinery.EXTENSION_SUFFIXES[0]}"
    path.write_bytes(elf.loaded(LIBRARY.read_bytes()))
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(path)], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("&lt;&amp;&gt;\n", "")


@pytest.mark.parametrize("other", [b"", b"import this\n", b"\x7fELF\x01\x01 32 bits", b"\x7fELF"])
def test_other_files_stay_as_they_are(other: bytes) -> None:
    assert elf.loaded(other) == other

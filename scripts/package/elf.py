"""Native libraries without what their loader never reads: symbol tables and debug information, for
which wheels' makers differ in care. What is mapped into memory stays as it is."""

from __future__ import annotations

import struct
from collections.abc import Iterator

_MAGIC = b"\x7fELF\x02\x01"  # 64 bits, little-endian, as all of Linux on x86_64
_HEADER, _SEGMENT = struct.Struct("<16xHHIQQQIHHHHHH"), struct.Struct("<IIQQQQQQ")


def loaded(library: bytes) -> bytes:
    """`library` without its section headers, with zeros for what is in none of its segments, and
    cut after the last; other files as they are."""
    if not library.startswith(_MAGIC):
        return library
    slim = bytearray(max(end for _, end in _kept(library)))
    for start, end in _kept(library):
        slim[start:end] = library[start:end]
    fields = list(_HEADER.unpack_from(slim))
    fields[5] = fields[11] = fields[12] = 0  # where the section headers are, how many, their names
    return library[:16] + _HEADER.pack(*fields)[16:] + bytes(slim[_HEADER.size :])


def _kept(library: bytes) -> Iterator[tuple[int, int]]:
    """From where to where the headers and each segment are in the file."""
    _, _, _, _, table, _, _, size, each, count, *_ = _HEADER.unpack_from(library)
    yield 0, size
    yield table, table + each * count
    for n in range(count):
        _, _, offset, _, _, length, *_ = _SEGMENT.unpack_from(library, table + n * each)
        yield offset, offset + length

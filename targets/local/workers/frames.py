"""Messages over a socket: a header of JSON and bytes that nothing reads on the way, each with its
length. Nothing that a client sends is unpickled."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

_SIZES = struct.Struct("!IQ")  # bytes of the header, bytes of the body


@dataclass(frozen=True)
class Frame:
    """One message."""

    header: Mapping[str, Any]
    body: bytes = b""

    def packed(self) -> bytes:
        """As it is sent."""
        header = json.dumps(self.header, separators=(",", ":")).encode()
        return _SIZES.pack(len(header), len(self.body)) + header + self.body


def read(stream: BinaryIO) -> Iterator[Frame]:
    """The frames of a blocking stream, until it ends, or ends within one."""
    while len(sizes := stream.read(_SIZES.size)) == _SIZES.size:
        header, body = _SIZES.unpack(sizes)
        if len(data := stream.read(header + body)) < header + body:
            return
        yield Frame(json.loads(data[:header]), data[header:])


@dataclass
class Splitter:
    """The frames in bytes that come in parts of any size."""

    _data: bytearray = field(default_factory=bytearray)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Those that `data` completes."""
        self._data += data
        while len(self._data) >= _SIZES.size:
            header, body = _SIZES.unpack_from(self._data)
            middle = _SIZES.size + header
            if len(self._data) < middle + body:
                return
            frame = Frame(
                json.loads(self._data[_SIZES.size : middle]),
                bytes(self._data[middle : middle + body]),
            )
            del self._data[: middle + body]
            yield frame

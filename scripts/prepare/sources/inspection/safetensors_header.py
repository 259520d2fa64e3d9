"""What a .safetensors file holds, by its header: names, types and shapes, without its weights."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_LONGEST = 100_000_000  # bytes of a header
_POINTER = b"version https://git-lfs"


@dataclass(frozen=True)
class Stored:
    """A tensor in a file."""

    dtype: str
    shape: tuple[int, ...]

    @property
    def count(self) -> int:
        return math.prod(self.shape)


def read(path: Path) -> Mapping[str, Stored]:
    """The tensors of a file by name. Raises ValueError, which says what is wrong with the file."""
    with path.open("rb") as file:
        begin = file.read(len(_POINTER))
        if begin == _POINTER:
            fetch = "a pointer of Git LFS in the place of the weights; fetch them with git lfs pull"
            raise ValueError(fetch)
        length = int.from_bytes(begin[:8], "little")
        if length > _LONGEST or len(begin) < 8:
            raise ValueError("not a safetensors file")
        file.seek(8)
        header = file.read(length)
    return _tensors(header, path.stat().st_size - 8 - length)


def _tensors(header: bytes, held: int) -> Mapping[str, Stored]:
    try:
        rows = {k: v for k, v in json.loads(header).items() if k != "__metadata__"}
        ends = [int(row["data_offsets"][1]) for row in rows.values()]
        found = {name: Stored(row["dtype"], tuple(row["shape"])) for name, row in rows.items()}
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as e:
        raise ValueError("not a safetensors file, or only its beginning") from e
    if (wanted := max(ends, default=0)) > held:
        raise ValueError(f"ends after {held:,} of {wanted:,} bytes of weights; download it again")
    return found

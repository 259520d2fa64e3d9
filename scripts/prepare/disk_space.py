"""How much disk a run of prepare needs beside --out, from the size of the weights in float32: known
before the work, and told with all sizes where the disk is too small."""

from __future__ import annotations

import errno
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from onnxferry.scripts.prepare.options import ANY, AUTO, FP32, INT8, Options
from onnxferry.system.errors import PrepareError, UsageError

EXPORTED = 1.0  # the graph in float32; what follows is besides it, as shares of its size
_EXPORTING = 1.0  # the exporter's own files, later the graph with fused operators
_FUSED, _INT8, _FP16 = 1.0, 0.3, 0.55  # variants: measured 1.00, 0.27 and 0.50
INT8_VARIANTS = {ANY: 2}  # how many are tried at most for a kind of CPU, by default _MOST_INT8
_MOST_INT8, _MIXED = 4, 2  # the second: while mixed precision is searched
_ROOM = 50_000_000  # bytes of the tokenizer, the report and the graphs without weights


def needed(options: Options, weights: int, done: float = 0.0) -> int:
    """The bytes that a run still needs for a source of `weights` bytes in float32, when it has
    written `done` times so many."""
    count = INT8_VARIANTS.get(options.cpu, _MOST_INT8) + _MIXED
    shares = {FP32: _FUSED, INT8: count * _INT8, AUTO: _FUSED + count * _INT8 + _FP16}
    share = _FUSED if options.variant else shares[options.precision]
    return int(weights * (EXPORTED + _EXPORTING + share - done)) + _ROOM


def check(options: Options, weights: int, done: float = 0.0) -> None:
    """Raise UsageError with the sizes where the disk of --out has too little room."""
    left, wanted = free(options.out), needed(options, weights, done)
    if left < wanted:
        need = f"a model of {gb(weights)} in float32 needs about {gb(wanted)} beside it"
        advice = "make room, give --out on another disk, or try one variant only with --variant"
        raise UsageError(f"--out {options.out}: {need}; {gb(left)} are free: {advice}")


def free(path: Path) -> int:
    """The bytes that are free on the disk of `path`, which need not be there yet."""
    path = path.resolve()
    folder = next(p for p in (path, *path.parents) if p.is_dir())
    return shutil.disk_usage(folder).free


@contextmanager
def told(folder: Path) -> Iterator[None]:
    """A disk that becomes full within the block is a PrepareError with the sizes."""
    try:
        yield
    except OSError as e:
        if e.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise
        used = sum(p.stat().st_size for p in folder.rglob("*") if p.is_file())
        have = f"this run had written {gb(used)}, and {gb(free(folder))} are free"
        raise PrepareError(f"{folder.parent}: the disk is full: {have} ({e.strerror})") from e


def gb(size: int) -> str:
    """Such as 2.24 GB."""
    return f"{size / 1e9:,.2f} GB"

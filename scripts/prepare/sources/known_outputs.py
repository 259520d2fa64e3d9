"""A model that runs once for the same feeds: the export's verification, the pipeline's and the
calibration ask many of the same texts, and each takes a third of a second on BERT-base."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.sources.source import Feeds, RunModel

CACHED = 64 * 2**20  # bytes of outputs that are kept


class KnownOutputs:
    """A RunModel that answers as `run` and keeps the outputs, up to CACHED bytes."""

    def __init__(self, run: RunModel) -> None:
        self._run = run
        self._known: dict[bytes, list[Array]] = {}
        self._bytes_left = CACHED

    def __call__(self, feeds: Feeds, outputs: Sequence[str]) -> list[Array]:
        """The outputs of that name; whoever asked may change the arrays."""
        key = _digest(feeds, outputs)
        if key not in self._known:
            found = self._run(feeds, outputs)
            self._bytes_left -= sum(array.nbytes for array in found)
            if self._bytes_left < 0:
                return found
            self._known[key] = found
        return [array.copy() for array in self._known[key]]

    def knows(self, feeds: Feeds, outputs: Sequence[str]) -> bool:
        """Whether it would answer without a run."""
        return _digest(feeds, outputs) in self._known


def _digest(feeds: Feeds, outputs: Sequence[str]) -> bytes:
    digest = hashlib.sha256(repr(tuple(outputs)).encode())
    for name, array in sorted(feeds.items()):
        # an array of objects has addresses in the place of its texts
        held = repr(array.tolist()).encode() if array.dtype.hasobject else array.tobytes()
        digest.update(f"\n{name} {array.dtype} {array.shape} ".encode() + held)
    return digest.digest()

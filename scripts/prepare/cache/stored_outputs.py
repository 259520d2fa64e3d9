"""Outputs of models as a file: numpy's own form, without pickles."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scripts.prepare.sources.known_outputs import RunOutputs


def write(path: Path, outputs: Mapping[str, Mapping[str, RunOutputs]]) -> None:
    """Write `outputs`, by the model and by what it was fed; those that are texts are left out."""
    np.savez(path, **dict(_arrays(outputs)))


def read(path: Path) -> dict[str, dict[str, RunOutputs]]:
    """What `write` wrote."""
    found: dict[str, dict[str, RunOutputs]] = defaultdict(dict)
    with np.load(path, allow_pickle=False) as arrays:
        for stored in arrays.files:  # in the order of _arrays
            name, key, what = stored.split(" ")
            if what == "seconds":
                found[name][key] = RunOutputs([], float(arrays[stored]))
            else:
                before = found[name][key]
                found[name][key] = replace(before, arrays=[*before.arrays, arrays[stored]])
    return found


def _arrays(outputs: Mapping[str, Mapping[str, RunOutputs]]) -> Iterator[tuple[str, Any]]:
    for name, runs in outputs.items():
        for key, run in runs.items():
            if any(array.dtype.hasobject for array in run.arrays):
                continue
            yield f"{name} {key} seconds", np.float64(run.seconds)
            yield from ((f"{name} {key} {i}", array) for i, array in enumerate(run.arrays))

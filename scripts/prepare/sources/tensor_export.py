"""How a module of task tensors is exported, from the user's requests: sizes in which they differ
are dynamic, and so is the batch if the module answers twice as many rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import Request, ScoringError, codecs
from onnxferry.scoring.engine import Array
from onnxferry.scoring.tasks.tensors import Tensors
from onnxferry.scripts.prepare.sources import pytorch
from onnxferry.scripts.prepare.sources.source import Feeds
from onnxferry.scripts.prepare.sources.user_inputs import Sample, read_golden, read_inputs
from onnxferry.system.errors import PrepareError, UsageError

# by numpy's kind: as PyTorch models take them
_DTYPES = {"f": np.float32, "i": np.int64, "u": np.int64, "b": np.bool_}


def trace_inputs(
    golden: Path, own: Path | None, module: Any
) -> tuple[Feeds, Mapping[str, pytorch.Axes]]:
    """The arrays to trace `module` with, and the dynamic axes of its inputs and outputs."""
    names = pytorch.parameters(module)
    first = [Sample(s.request, f"--golden {s.where}") for s in read_golden(golden)]
    found = [_feeds(sample, names) for sample in (*first, *read_inputs(own, "tensors"))]
    example, axes = found[0], _differing(found)
    outputs = pytorch.named_outputs(module, example)
    double = {n: np.concatenate([a, a]) if a.ndim else a for n, a in example.items()}
    batched = _runs(module, double)
    if batched:
        example, axes = double, {n: {0: "batch", **axes[n]} if double[n].ndim else {} for n in axes}
    batched = batched and any(array.ndim for array in example.values())
    return example, {**axes, **{name: {0: "batch"} if batched else {} for name in outputs}}


def _runs(module: Any, feeds: Feeds) -> bool:
    try:
        pytorch.named_outputs(module, feeds)
    except PrepareError:
        return False
    return True


def _feeds(sample: Sample, names: Sequence[str]) -> Feeds:
    """In the order of forward's parameters `names`."""
    inputs = _inputs(sample.request, sample.where)
    given = inputs if isinstance(inputs, dict) else {names[0]: inputs}
    if set(given) != set(names[: len(given)]):
        takes = f"the module's forward takes {', '.join(names)}"
        raise UsageError(f"{sample.where}: 'inputs' holds {', '.join(given)}; {takes}")
    return {n: _array(given[n], f"{sample.where}: inputs.{n}") for n in names[: len(given)]}


def _inputs(request: Request, where: str) -> Any:
    try:
        payload = codecs.decode(request.body, request.content_type, Tensors.accepts)
    except ScoringError as e:
        raise UsageError(f"{where}: {e}") from e
    if not isinstance(payload, dict) or "inputs" not in payload:
        raise UsageError(f'{where}: expected a request such as {{"inputs": {{"x": [[0.5, 1.0]]}}}}')
    return payload["inputs"]


def _array(value: Any, where: str) -> Array:
    try:
        array = np.asarray(value)
    except ValueError as e:
        raise UsageError(f"{where}: lists of different lengths are no array") from e
    if array.dtype.kind not in _DTYPES:
        raise UsageError(f"{where}: expected numbers or booleans in nested lists")
    return array.astype(_DTYPES[array.dtype.kind], order="C")


def _differing(found: Sequence[Feeds]) -> dict[str, dict[int, str]]:
    """The axes in which the requests differ, each with a name."""
    axes: dict[str, dict[int, str]] = {}
    for name, array in found[0].items():
        shapes = [feeds[name].shape for feeds in found if name in feeds]
        if len({len(shape) for shape in shapes}) > 1 or len(shapes) < len(found):
            what = "is not in every request, or not with the same number of dimensions"
            raise UsageError(f"'inputs.{name}' {what}")
        dynamic = (i for i in range(array.ndim) if len({shape[i] for shape in shapes}) > 1)
        axes[name] = {i: f"{name}_{i}" for i in dynamic}
    return axes

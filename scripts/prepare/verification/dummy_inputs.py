"""A request to a graph of which only the inputs are known: the same bytes on every machine."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np

from onnxferry.scoring import Request
from onnxferry.scoring.engine import Array
from onnxferry.scoring.manifest import Tensor


def dummy_request(inputs: Sequence[Tensor]) -> Request:
    """Arrays for all of a graph's inputs: floats grow from 0 towards 1, integers are 1 (a token id,
    a mask that hides nothing), sizes that the graph leaves open are 1."""
    arrays = {tensor.name: _values(tensor) for tensor in inputs}
    return Request(json.dumps({"inputs": arrays}).encode())


def _values(tensor: Tensor) -> Any:
    shape = tuple(size if isinstance(size, int) and size > 0 else 1 for size in tensor.shape)
    kind = np.dtype(tensor.dtype).kind
    if kind == "f":
        return _ramp(shape).tolist()
    value: Any = {"b": True, "U": "a"}.get(kind, 1)
    return np.full(shape, value, object).tolist()


def _ramp(shape: tuple[int, ...]) -> Array:
    """From 0 towards 1 in steps that three decimals hold, so that the request is short."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.round(np.arange(count) % 1000 / min(max(count, 1), 1000), 3).reshape(shape)

"""Numbers to whole numbers of a few bits, a block of rows at a time: the largest weight of a model
may have a gigabyte, of which no second copy in float32 is made."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxferry.scoring.engine import Array

_BLOCK = 2**22  # numbers


def largest(array: Array, axis: int) -> Array:
    """The largest absolute numbers along an axis of a matrix, which stays with the size 1."""
    found: Array = np.maximum(array.max(axis, keepdims=True), -array.min(axis, keepdims=True))
    return found


def rounded(array: Array, scale: Array, limit: int, dtype: Any, zero: int = 0) -> Array:
    """A matrix divided by `scale` (one of its sizes is 1), as whole numbers from -`limit` to
    `limit`, shifted by `zero`."""
    if array.strides[0] < array.strides[1]:  # blocks of what lies together
        return rounded(array.T, scale.T, limit, dtype, zero).T
    made, rows = np.empty(array.shape, dtype), max(_BLOCK // max(array.shape[1], 1), 1)
    scales = np.broadcast_to(scale, array.shape)
    for i in range(0, len(array), rows):
        whole = np.round(array[i : i + rows] / scales[i : i + rows])
        made[i : i + rows] = np.clip(whole, -limit, limit) + zero
    return made


def is_in_float16(array: Array) -> bool:
    """Whether float16 has all of the numbers, within its rounding: none beyond 65504."""
    most = np.finfo(np.float16).max
    return bool(array.max() <= most and array.min() >= -most)

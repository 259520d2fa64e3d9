"""application/x-npy, numpy's format for one array, read without pickle and without a copy."""

from __future__ import annotations

import io
import math
import tokenize
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib import format as npy

from onnxferry.scoring.codecs.headers import MediaType
from onnxferry.scoring.errors import InvalidBody, NotAcceptable

_KINDS = {"b": "bool", "i": "integer", "u": "unsigned integer", "f": "float"}
_HEADERS: dict[Any, Any] = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_UNREADABLE = (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError)
_read_magic: Callable[[Any], Any] = npy.read_magic  # numpy's stubs leave these out
MAX_DIMENSIONS = 32  # of every version of numpy


def decode_npy(body: bytes, media_type: MediaType) -> Any:
    """{"inputs": array} of numbers or booleans in this machine's byte order; it may be read-only.
    Raises InvalidBody."""
    shape, fortran, dtype, start = _header(body)
    if dtype.kind not in _KINDS or dtype.hasobject or dtype.subdtype:
        expected = ", ".join(_KINDS.values())
        raise InvalidBody(f"the array's dtype is of kind '{dtype.kind}'; expected {expected}")
    if len(shape) > MAX_DIMENSIONS or any(size < 0 for size in shape):
        wrong = f"a negative size, or more than {MAX_DIMENSIONS} dimensions"
        raise InvalidBody(f"the array's shape has {wrong}")
    claimed, came = math.prod(shape) * dtype.itemsize, len(body) - start
    if claimed != came or any(size > len(body) for size in shape):
        size = f"{str(claimed)[:20]} bytes of data"
        raise InvalidBody(f"the array's header claims {size}, and {came} came")
    flat = np.frombuffer(body, dtype, offset=start) if came else np.empty(0, dtype)
    array = flat.reshape(shape, order="F" if fortran else "C")
    return {"inputs": array.astype(dtype.newbyteorder("="), copy=False)}


def _header(body: bytes) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    """The shape, whether it is in Fortran's order, the dtype, and where the data start."""
    file = io.BytesIO(body)
    try:
        return (*_HEADERS[_read_magic(file)](file), file.tell())
    except KeyError as e:
        raise InvalidBody("the body is npy of a version other than 1.0 and 2.0") from e
    except _UNREADABLE as e:
        what = "the body is not npy: its header cannot be read"
        raise InvalidBody(f"{what}; make it with numpy.save") from e


def encode_npy(answer: Any) -> bytes:
    """numpy.save of an array of numbers, also as an object's only value. Raises NotAcceptable."""
    if isinstance(answer, dict) and len(answer) == 1:
        answer = next(iter(answer.values()))
    try:
        array = np.asarray(answer)
    except ValueError as e:
        raise NotAcceptable("the answer's items differ in shape, and npy holds one shape") from e
    if array.dtype.kind not in _KINDS:
        what = "the answer is not numbers alone, which npy needs"
        raise NotAcceptable(f"{what}; accept application/json")
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array) if array.ndim else array, allow_pickle=False)
    return out.getvalue()

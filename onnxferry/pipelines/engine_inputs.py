"""The arrays that a graph takes: their check before a run, and random ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from onnxferry.pipelines.errors import InvalidInput, PipelineError
from onnxferry.scoring.engine import Array
from onnxferry.scoring.manifest import Tensor

LENGTH = 128  # tokens of a random text, where graph and caller leave it open


def resolved(
    inputs: Sequence[Tensor], batch_size: int | None, shapes: Sequence[Sequence[int]] | None
) -> tuple[Tensor, ...]:
    """The graph's inputs with the sizes that a caller gives. Raises PipelineError for sizes that
    the graph fixes otherwise."""
    if shapes is not None and len(shapes) != len(inputs):
        named = ", ".join(tensor.name for tensor in inputs)
        raise PipelineError(f"input_shapes has {len(shapes)} shapes; the graph takes {named}")
    asked = [tensor.shape for tensor in inputs] if shapes is None else [*map(tuple, shapes)]
    rows = (batch_size,) if batch_size else ()
    sized = [(*rows, *shape[len(rows) :]) if shape else shape for shape in asked]
    return tuple(_with_shape(t, shape) for t, shape in zip(inputs, sized, strict=True))


def _with_shape(tensor: Tensor, shape: Sequence[int | str]) -> Tensor:
    own = tensor.shape
    fits = len(own) == len(shape) and all(
        a == b or isinstance(a, str) for a, b in zip(own, shape, strict=True)
    )
    if not fits:
        what = f"the graph's input '{tensor.name}' has the shape {list(own)}, not {list(shape)}"
        how = "export it with open dimensions, or give batch_size=None"
        raise PipelineError(f"{what}, and a graph's fixed sizes stay as they are; {how}")
    return replace(tensor, shape=tuple(shape))


def feeds(inputs: Sequence[Tensor], given: Any) -> dict[str, Array]:
    """The arrays by name: a list in the graph's order, or a dict. Raises InvalidInput that names
    the input, what it expects and what came."""
    if isinstance(given, Mapping):
        given = [_named(given, tensor.name) for tensor in inputs]
    if not isinstance(given, list | tuple):
        raise InvalidInput(f"the inputs must be a list of arrays, got {type(given).__name__}")
    if len(given) != len(inputs):
        named = ", ".join(tensor.name for tensor in inputs)
        raise InvalidInput(f"{len(given)} arrays came; the graph takes {len(inputs)}: {named}")
    for tensor, array in zip(inputs, given, strict=True):
        _check(tensor, array)
    _check_rows(inputs, given)
    return {tensor.name: array for tensor, array in zip(inputs, given, strict=True)}


def _named(given: Mapping[str, Array], name: str) -> Array:
    if name not in given:
        raise InvalidInput(f"input '{name}' is missing; got {', '.join(map(str, given)) or 'none'}")
    return given[name]


def _check(tensor: Tensor, array: Any) -> None:
    expected = f"input '{tensor.name}' expects {tensor.dtype} {_shape(tensor.shape)}"
    if not isinstance(array, np.ndarray):
        raise InvalidInput(f"{expected}, a numpy array; got {type(array).__name__}")
    strings = tensor.dtype == "str" and array.dtype.kind in "OU"
    fits = len(array.shape) == len(tensor.shape) and all(
        isinstance(size, str) or size == came
        for size, came in zip(tensor.shape, array.shape, strict=True)
    )
    if not fits or not (strings or array.dtype == tensor.dtype):
        raise InvalidInput(f"{expected}; got {array.dtype} {_shape(array.shape)}")


def _check_rows(inputs: Sequence[Tensor], arrays: Sequence[Array]) -> None:
    rows = {tensor.name: len(a) for tensor, a in zip(inputs, arrays, strict=True) if a.ndim}
    if len(set(rows.values())) > 1:
        told = ", ".join(f"'{name}' {count}" for name, count in rows.items())
        raise InvalidInput(f"the inputs have different batch sizes: {told}")


def _shape(shape: Sequence[int | str]) -> str:
    return f"[{', '.join(map(str, shape))}]"


def random_inputs(inputs: Sequence[Tensor]) -> list[Array]:
    """The same random arrays each time: numbers from 0 to 1, integers 0 and 1. Open lengths of
    texts are LENGTH tokens. Raises PipelineError for other open sizes."""
    numbers = np.random.default_rng(0)
    return [_random(tensor, numbers) for tensor in inputs]


def _random(tensor: Tensor, numbers: np.random.Generator) -> Array:
    text = len(tensor.shape) == 2 and tensor.dtype.startswith("int")
    sizes = [1 if i == 0 else LENGTH if text else 0 for i in range(len(tensor.shape))]
    shape = [n if isinstance(n, int) else sizes[i] for i, n in enumerate(tensor.shape)]
    if 0 in shape or tensor.dtype == "str":
        what = f"input '{tensor.name}' takes {tensor.dtype} {_shape(tensor.shape)}"
        raise PipelineError(f"{what}; give input_shapes, or inputs of your own")
    whole = np.dtype(tensor.dtype).kind in "iub"
    made = numbers.integers(0, 2, shape) if whole else numbers.random(shape)
    return made.astype(tensor.dtype)

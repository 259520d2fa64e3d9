"""Any ONNX model: named arrays in, named arrays out.

Request: {"inputs": {name: nested lists, ...}, "parameters": {"outputs": [name, ...]}}; a graph with
one input also takes the array without its name, and npy as the body. Answer: {name: nested lists,
...} of all outputs, or of `outputs` in that order.

Arrays are checked against the graph: the type (integers are taken for floats), rank, fixed sizes,
and that sizes of one name are the same. There are no settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import settings, timing, validation
from onnxferry.scoring.codecs import JSON, NPY
from onnxferry.scoring.engine import Array, Runner
from onnxferry.scoring.errors import InvalidType, InvalidValue, TooLarge
from onnxferry.scoring.limits import MAX_NUMBERS
from onnxferry.scoring.manifest import ModelSpec, Tensor
from onnxferry.scoring.slots import Slots
from onnxferry.scoring.validation import Parameter

# kind of a tensor's dtype -> the JSON types and array kinds that it takes, its name
_KINDS: dict[str, tuple[set[type], str, str]] = {
    "f": ({int, float}, "fiu", "numbers"),
    "i": ({int}, "iu", "integers"),
    "u": ({int}, "iu", "integers of at least 0"),
    "b": ({bool}, "b", "booleans"),
    "U": ({str}, "", "strings"),
}


def read_array(value: object, tensor: Tensor, where: str) -> Array:
    """`value` (nested lists or an array) as an array of the tensor's dtype, rank and fixed sizes.
    Raises InvalidType or InvalidValue."""
    array = value if isinstance(value, np.ndarray) else _from_lists(value, tensor, where)
    _check_shape(array.shape, tensor, where)
    return _cast(array, tensor, where)


def _from_lists(value: object, tensor: Tensor, where: str) -> Array:
    """The lists must be as deep as the tensor has dimensions, and of one length at each depth."""
    level: list[Any] = [value]
    shape: list[int] = []
    rank = len(tensor.shape)
    for depth in range(rank):
        if not all(type(entry) is list for entry in level):
            expected = f"lists of depth {rank}, {_shape(tensor)}"
            raise InvalidValue(f"'{where}' must be {expected}; depth {depth} ends")
        if len(sizes := {len(entry) for entry in level}) > 1:
            raise InvalidValue(f"'{where}' has lists of different lengths at depth {depth + 1}")
        shape.append(sizes.pop() if sizes else 0)
        level = list(chain.from_iterable(level))
    taken, _, name = _KINDS[np.dtype(tensor.dtype).kind]
    if wrong := {type(entry) for entry in level} - taken:
        came = validation.kind(next(entry for entry in level if type(entry) in wrong))
        expected = f"{name} ({tensor.dtype}) at depth {rank}"
        raise InvalidType(f"'{where}' must hold {expected}, got {came}")
    if str in taken:
        level = [validation.string(entry, where) for entry in level]
    try:
        dtype = float if float in taken else bool if bool in taken else object
        return np.array(level, dtype).reshape(shape)
    except OverflowError as e:
        raise InvalidValue(f"'{where}' holds a number that is too large") from e


def _check_shape(shape: Sequence[int], tensor: Tensor, where: str) -> None:
    if len(shape) != len(tensor.shape) or any(
        isinstance(size, int) and size != got for size, got in zip(tensor.shape, shape, strict=True)
    ):
        raise InvalidValue(f"'{where}' has shape {list(shape)}; the graph takes {_shape(tensor)}")
    if 0 in shape:
        raise InvalidValue(f"'{where}' has shape {list(shape)}, and so holds nothing")


def _cast(array: Array, tensor: Tensor, where: str) -> Array:
    dtype = np.dtype(tensor.dtype)
    _, kinds, name = _KINDS[dtype.kind]
    if array.dtype == object and dtype.kind == "U":
        return array
    if array.dtype.kind not in kinds and not (array.dtype == object and dtype.kind in "iu"):
        came = f"an array of {array.dtype}"
        raise InvalidType(f"'{where}' must hold {name} ({tensor.dtype}), got {came}")
    if dtype.kind in "iuf":
        limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
        if not (limits.min <= array.min() and array.max() <= limits.max):
            bounds = f"{limits.min} to {limits.max}"
            raise InvalidValue(f"'{where}' holds a number that {tensor.dtype} cannot: not {bounds}")
    return np.ascontiguousarray(array.astype(dtype))


def _shape(tensor: Tensor) -> str:
    return f"[{', '.join(map(str, tensor.shape))}] of {tensor.dtype}"


def _count(output: Any) -> int:
    """How many values an output has: an array, or a graph's sequence or map."""
    if isinstance(output, list | dict):
        return sum(map(_count, output.values() if isinstance(output, dict) else output))
    return int(np.size(output))


class Tensors:
    """A Task; see the module. An answer holds at most `max_numbers` numbers."""

    accepts = (JSON, NPY)

    def __init__(
        self, spec: ModelSpec, runner: Runner, folder: Path, max_numbers: int = MAX_NUMBERS
    ) -> None:
        settings.read(spec.settings, {})
        self._runner, self._max_numbers = runner, max_numbers
        self._inputs = {t.name: t for t in runner.inputs}
        self._slots = Slots(runner.parallel_runs)
        self._outputs = [t.name for t in runner.outputs]
        for tensor in runner.inputs:
            if tensor.dtype not in np.sctypeDict:
                raise ValueError(f"no request can hold input '{tensor.name}', a {tensor.dtype}")
        self._parameters = {"outputs": Parameter(self._read_outputs, self._outputs)}

    def answer(self, payload: Any) -> Any:
        """See the module."""
        data = validation.mapping(payload, "the body")
        feeds = self._feeds(validation.member(data, "inputs"))
        names = validation.parameters(data, self._parameters)["outputs"]
        results = dict(zip(self._outputs, self._run(feeds), strict=True))
        answer = {name: results[name] for name in names}
        if (numbers := sum(map(_count, answer.values()))) > self._max_numbers:
            limit = f"one request gets at most {self._max_numbers}"
            advice = "send fewer, or choose some 'parameters.outputs'"
            raise TooLarge(f"the answer holds {numbers} numbers, and {limit}; {advice}")
        return answer

    def _run(self, feeds: Mapping[str, Array]) -> list[Any]:
        try:
            with self._slots.taken(), timing.stage("engine"):
                return self._runner.run(feeds)
        except Exception as e:  # onnxruntime's errors have no common base class
            if not type(e).__module__.startswith("onnxruntime"):
                raise
            what = "the graph cannot compute these inputs; check indices, and sizes that must match"
            raise InvalidValue(what) from e

    def _feeds(self, value: object) -> dict[str, Array]:
        if isinstance(value, dict):
            named: Mapping[str, Any] = value
        elif len(self._inputs) == 1:
            named = dict.fromkeys(self._inputs, value)
        else:
            came = validation.kind(value)
            raise InvalidType(f"'inputs' must be an object with {self._listed()}, got {came}")
        if wrong := sorted(set(named) ^ set(self._inputs)):
            what = "is missing" if wrong[0] in self._inputs else "is not an input of the graph"
            raise InvalidValue(f"'inputs.{wrong[0][:80]}' {what}; it takes {self._listed()}")
        feeds = {n: read_array(named[n], t, f"inputs.{n}") for n, t in self._inputs.items()}
        self._check_names(feeds)
        return feeds

    def _check_names(self, feeds: Mapping[str, Array]) -> None:
        """Sizes that the graph gives one name must be the same."""
        seen: dict[str, tuple[int, str]] = {}
        for name, tensor in self._inputs.items():
            for size, got in zip(tensor.shape, feeds[name].shape, strict=True):
                if isinstance(size, int) or size == "?":
                    continue
                before, other = seen.setdefault(size, (got, name))
                if before != got:
                    what = f"'inputs.{name}' has {got} for the size '{size}'"
                    raise InvalidValue(f"{what}, and 'inputs.{other}' has {before}")

    def _read_outputs(self, value: object, where: str) -> list[str]:
        names = list(dict.fromkeys(validation.strings(value, where)))
        known = ", ".join(self._outputs)
        if unknown := [name for name in names if name not in self._outputs]:
            raise InvalidValue(f"'{where}' names '{unknown[0][:80]}'; the graph gives {known}")
        if not names:
            raise InvalidValue(f"'{where}' is an empty list; the graph gives {known}")
        return names

    def _listed(self) -> str:
        return ", ".join(f"{t.name} {_shape(t)}" for t in self._inputs.values())

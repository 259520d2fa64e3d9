"""The tensors of Open Inference Protocol v2 bodies: JSON, and after it the data of those that came,
or are asked for, in binary (little-endian, row by row; each BYTES element after its length)."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from onnxferry.scoring import codecs, validation
from onnxferry.scoring.engine import Array
from onnxferry.scoring.errors import InvalidBody, InvalidType, InvalidValue, ScoringError
from onnxferry.scoring.manifest import Tensor
from onnxferry.scoring.tasks.tensors import read_array

BYTES = "BYTES"
_NUMBERS = {
    "BOOL": "bool",
    **{
        f"{kind}{bits}": f"{kind.lower()}{bits}"
        for kind in ("INT", "UINT")
        for bits in (8, 16, 32, 64)
    },
    "FP16": "float16",
    "FP32": "float32",
    "FP64": "float64",
}
DTYPES = {**_NUMBERS, BYTES: "str"}  # datatype -> numpy's name
DATATYPES = {dtype: name for name, dtype in DTYPES.items()}
_LENGTH = struct.Struct("<I")
MAX_DIMENSIONS = 32  # of every version of numpy


@dataclass(frozen=True)
class Named:
    """One tensor of a request. `values`: an array of its shape; of BYTES one of objects, str where
    it came as JSON, bytes where it came in binary. `binary`: how it came."""

    name: str
    datatype: str
    values: Array
    binary: bool = False


def split(body: bytes, head_length: int | None) -> tuple[Any, memoryview]:
    """The JSON data, and the binary data after it. Raises InvalidBody."""
    length = len(body) if head_length is None else head_length
    if not 0 <= length <= len(body):
        what = "the header Inference-Header-Content-Length must be a number of bytes"
        raise InvalidBody(f"{what} from 0 to the body's {len(body)}")
    head = body[:length] if length < len(body) else body
    return codecs.decode(head, codecs.JSON, (codecs.JSON,)), memoryview(body)[length:]


def read(inputs: Any, data: memoryview) -> list[Named]:
    """The tensors of a request's `inputs`. Raises ScoringError that names the tensor."""
    if not isinstance(inputs, list):
        raise InvalidType(f"'inputs' must be a list of tensors, got {validation.kind(inputs)}")
    found: list[Named] = []
    for i, entry in enumerate(inputs):
        tensor, data = _tensor(validation.mapping(entry, f"'inputs[{i}]'"), f"inputs[{i}]", data)
        found.append(tensor)
    if data:
        raise InvalidBody(f"{len(data)} bytes of binary data are left after the last tensor's")
    names = [tensor.name for tensor in found]
    if again := [name for i, name in enumerate(names) if name in names[:i]]:
        raise InvalidValue(f"input {again[0][:80]!r} came twice")
    return found


def _tensor(entry: Mapping[str, Any], where: str, data: memoryview) -> tuple[Named, memoryview]:
    name = validation.string(validation.member(entry, "name", f"{where}."), f"{where}.name")
    of = f"input {name[:80]!r}"
    datatype = validation.member(entry, "datatype", f"{where}.")
    if not isinstance(datatype, str) or datatype not in DTYPES:
        raise InvalidValue(f"{of}: 'datatype' must be one of {', '.join(DTYPES)}")
    shape = _shape(validation.member(entry, "shape", f"{where}."), of)
    parameters = entry.get("parameters")
    parameters = {} if parameters is None else validation.mapping(parameters, f"{of}: 'parameters'")
    size = parameters.get("binary_data_size")
    if size is None:
        values = _from_json(validation.member(entry, "data", f"{where}."), datatype, of)
        return Named(name, datatype, _shaped(values, shape, of)), data
    if "data" in entry:
        raise InvalidValue(f"{of} has 'data' and 'binary_data_size'; send one of them")
    if type(size) is not int or not 0 <= size <= len(data):
        raise InvalidBody(f"{of}: 'binary_data_size' must be one of the {len(data)} bytes left")
    values = _from_binary(data[:size], datatype, math.prod(shape), of)
    return Named(name, datatype, _shaped(values, shape, of), True), data[size:]


def _shape(value: Any, of: str) -> list[int]:
    if not isinstance(value, list) or any(type(size) is not int or size < 0 for size in value):
        raise InvalidValue(f"{of}: 'shape' must be a list of integers of at least 0")
    if len(value) > MAX_DIMENSIONS:
        raise InvalidValue(f"{of}: 'shape' has more than {MAX_DIMENSIONS} dimensions")
    return value


def _shaped(values: Array, shape: Sequence[int], of: str) -> Array:
    if math.prod(shape) != values.size:
        raise InvalidValue(f"{of} has {values.size} values; its shape {list(shape)} says otherwise")
    return values.reshape(shape)


def _from_json(data: Any, datatype: str, of: str) -> Array:
    """The values of nested or flat lists, one after the other."""
    flat: list[Any] = data if isinstance(data, list) else [data]
    while any(isinstance(entry, list) for entry in flat):
        if not all(isinstance(entry, list) for entry in flat):
            raise InvalidValue(f"{of}: 'data' has lists of different depths")
        flat = list(chain.from_iterable(flat))
    if not flat:
        return np.empty(0, object)
    try:
        return read_array(flat, Tensor(of, DTYPES[datatype], (len(flat),)), "data")
    except (InvalidType, InvalidValue) as e:
        raise type(e)(f"{of}: {e}") from e


def _from_binary(data: memoryview, datatype: str, count: int, of: str) -> Array:
    if datatype == BYTES:
        elements = list(_elements(data, of))
        values = np.empty(len(elements), object)
        values[:] = elements
        return values
    dtype = np.dtype(_NUMBERS[datatype]).newbyteorder("<")
    if len(data) != count * dtype.itemsize:
        expected = f"{count} {datatype} are {str(count * dtype.itemsize)[:20]} bytes"
        raise InvalidValue(f"{of} has {len(data)} bytes of data; by its shape {expected}")
    if datatype == "BOOL":
        found: Array = np.frombuffer(data, np.uint8) != 0
        return found
    numbers: Array = np.frombuffer(data, dtype).astype(dtype.newbyteorder("="), copy=False)
    return numbers


def _elements(data: memoryview, of: str) -> Iterator[bytes]:
    place = 0
    while place < len(data):
        start = place + _LENGTH.size
        if start <= len(data):
            place = start + _LENGTH.unpack_from(data, place)[0]
        if max(start, place) > len(data):
            raise InvalidValue(f"{of}: an element is longer than the data; each follows its length")
        yield bytes(data[start:place])


@dataclass(frozen=True)
class Out:
    """One tensor of an answer. `values` of BYTES are objects: str or bytes."""

    name: str
    values: Array
    binary: bool = False
    content_type: str = ""

    @property
    def datatype(self) -> str:
        """By the dtype. Raises KeyError for one that the protocol does not have."""
        return DATATYPES.get(self.values.dtype.name, BYTES)

    def entry(self) -> tuple[dict[str, Any], bytes]:
        """The output's JSON data, and its binary data."""
        told = {"content_type": self.content_type} if self.content_type else {}
        data = self._data() if self.binary else b""
        if self.binary:
            told["binary_data_size"] = len(data)  # type: ignore[assignment]
        head = {"name": self.name, "datatype": self.datatype, "shape": list(self.values.shape)}
        parameters = {"parameters": told} if told else {}
        values = {} if self.binary else {"data": list(map(_plain, self.values.ravel().tolist()))}
        return {**head, **parameters, **values}, data

    def _data(self) -> bytes:
        if self.datatype != BYTES:
            return self.values.astype(self.values.dtype.newbyteorder("<"), copy=False).tobytes()
        raw = [v if isinstance(v, bytes) else str(v).encode("utf-8") for v in self.values.ravel()]
        return b"".join(_LENGTH.pack(len(value)) + value for value in raw)


def _plain(value: Any) -> Any:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def write(head: Mapping[str, Any], outputs: Sequence[Out]) -> tuple[bytes, int | None]:
    """The body, and the length of its JSON where binary data follow."""
    entries = [output.entry() for output in outputs]
    told = codecs.encode_json({**head, "outputs": [entry for entry, _ in entries]})
    if not any(output.binary for output in outputs):
        return told, None
    return b"".join([told, *(data for _, data in entries)]), len(told)


def objects(values: Sequence[Any]) -> Array:
    """A flat array of objects, whatever they are."""
    array = np.empty(len(values), object)
    array[:] = list(values)
    return array


def as_json(value: Any) -> str:
    """The text of one element that holds JSON."""
    return codecs.encode_json(value).decode("utf-8")


def from_json(text: str, where: str) -> Any:
    """The JSON data of one element. Raises InvalidValue."""
    try:
        return codecs.decode(text.encode("utf-8"), codecs.JSON, (codecs.JSON,))
    except (ScoringError, UnicodeEncodeError) as e:
        raise InvalidValue(f"{where} must hold JSON") from e

"""ONNX files. Only this module and variants/ import onnx. Raises PrepareError for what cannot be
read or written."""

from __future__ import annotations

import math
from pathlib import Path

import onnx

from onnxferry.system.errors import PrepareError

WEIGHTS_FILE = "model.onnx.data"
_LEAST_MOVED = 1024  # bytes of a tensor
_ALIGNMENT = 64  # bytes
MAX_IR, MAX_OPSET = 11, 23  # what ONNX Runtime 1.23, the oldest that a host may have, loads


def copy(source: Path, target: Path) -> None:
    """Write `source`, with weights that lie beside it, to `target` as one file."""
    model = read(source, weights=False)
    if any(onnx.external_data_helper.uses_external_data(t) for t in model.graph.initializer):
        save(read(source), target)
    else:
        target.write_bytes(source.read_bytes())


def weight_files(path: Path) -> tuple[str, ...]:
    """The names, relative to the graph's folder, of the other files that its weights are in."""
    helper = onnx.external_data_helper
    stored = filter(helper.uses_external_data, read(path, weights=False).graph.initializer)
    return tuple(dict.fromkeys(helper.ExternalDataInfo(tensor).location for tensor in stored))


def versions(path: Path) -> tuple[int, int]:
    """Opset and IR version of a graph. Raises PrepareError when the hosts load none such."""
    model = read(path, weights=False)
    found = opset(model), model.ir_version
    if found[0] > MAX_OPSET or found[1] > MAX_IR:
        limit = f"the hosts load up to opset {MAX_OPSET} and IR version {MAX_IR}"
        advice = "export it again with opset 18"
        raise PrepareError(
            f"{path.name}: opset {found[0]}, IR version {found[1]}; {limit}: {advice}"
        )
    return found


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators; 0 where there is none."""
    return max((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), default=0)


def read(path: Path, weights: bool = True) -> onnx.ModelProto:
    """The model of a file; `weights` False leaves those out that lie in other files."""
    try:
        return onnx.load(path, load_external_data=weights)
    except Exception as e:  # DecodeError, ValidationError, FileNotFoundError of the weights
        raise PrepareError(f"{path}: not readable as an ONNX model: {e}") from e


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model as one file."""
    try:
        onnx.save(model, path)
    except ValueError as e:
        raise PrepareError(f"{path}: cannot be saved as one file: {e}") from e


def split(path: Path, least: int = 1_000_000) -> None:
    """Move the weights of the graph `path` into WEIGHTS_FILE beside it, if they take at least
    `least` bytes. ONNX Runtime maps that file into memory: models start sooner, and a host's
    processes share it. The same graph makes the same bytes."""
    model = read(path)
    numeric = (t for t in model.graph.initializer if t.data_type != onnx.TensorProto.STRING)
    large = [t for t in numeric if _size(t) >= _LEAST_MOVED]
    if sum(map(_size, large)) < least:
        return
    offset = 0
    for tensor in large:
        array = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array, tensor.name))  # as raw bytes
        onnx.external_data_helper.set_external_data(tensor, WEIGHTS_FILE, offset)
        offset += -(-len(tensor.raw_data) // _ALIGNMENT) * _ALIGNMENT
    save(model, path)


def _size(tensor: onnx.TensorProto) -> int:
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
    return int(math.prod(tensor.dims) * dtype.itemsize)

"""ONNX graphs as files. With variants/, which rewrites them, the only importer of onnx."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

import onnx

from onnxferry.system.errors import PrepareError

WEIGHTS_FILE = "model.onnx.data"
_LEAST_MOVED = 1024  # bytes of a tensor
_ALIGNMENT = 64  # bytes
MAX_IR, MAX_OPSET = 11, 23  # of ONNX Runtime 1.23, the oldest that a host may have


class OnnxVersions(NamedTuple):
    """What a graph needs of ONNX Runtime."""

    opset: int
    ir_version: int


def copy(source: Path, target: Path) -> None:
    """Write `source` as one file, the same bytes unless its weights lie beside it. Raises
    PrepareError where it cannot be read, or is too large for one file."""
    model = read(source, weights=False)
    if any(onnx.external_data_helper.uses_external_data(t) for t in model.graph.initializer):
        save(read(source), target)
    else:
        target.write_bytes(source.read_bytes())


def versions(path: Path) -> OnnxVersions:
    """The versions of a graph. Raises PrepareError when hosts would not load them."""
    model = read(path, weights=False)
    found = OnnxVersions(opset(model), model.ir_version)
    if found.opset > MAX_OPSET or found.ir_version > MAX_IR:
        raise PrepareError(
            f"{path.name}: opset {found.opset}, IR version {found.ir_version}; the hosts load up to"
            f" opset {MAX_OPSET} and IR version {MAX_IR}: export it with a lower opset, such as 18"
        )
    return found


def opset(model: onnx.ModelProto) -> int:
    """The version of the standard operators; 0 where a model has none."""
    return max((e.version for e in model.opset_import if e.domain in ("", "ai.onnx")), default=0)


def read(path: Path, weights: bool = True) -> onnx.ModelProto:
    """The model of a file, with the `weights` in files beside it or without. Raises PrepareError
    for what is not readable as ONNX."""
    try:
        return onnx.load(path, load_external_data=weights)
    except Exception as e:  # DecodeError, ValidationError, FileNotFoundError of the weights
        raise PrepareError(f"{path}: not readable as an ONNX model: {e}") from e


def save(model: onnx.ModelProto, path: Path) -> None:
    """Write a model as one file; raises PrepareError beyond protobuf's limit of 2 GB."""
    try:
        onnx.save(model, path)
    except ValueError as e:
        raise PrepareError(f"{path}: cannot be saved as one file: {e}") from e


def split(path: Path, least: int = 1_000_000) -> None:
    """Move the weights of a graph of `least` bytes or more into WEIGHTS_FILE beside it.

    ONNX Runtime maps that file: a model starts faster, embeddings take memory as they are used, and
    a host's processes share them. The same graph makes the same bytes.
    """
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

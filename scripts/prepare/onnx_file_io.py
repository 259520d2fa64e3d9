"""ONNX files: a graph, and its weights in a file of their own beside it. Only this module and
variants/ import onnx. Raises PrepareError for what cannot be read or written.

One protobuf holds at most 2 GB. So weights stay where they are until they are written, one by one,
into WEIGHTS_FILE: no step needs memory for all of them. ONNX Runtime maps that file into memory:
models start sooner, and a host's processes share it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePath
from typing import TypeAlias

import onnx
import onnx_ir as ir

from onnxferry.scripts.engines import MAX_IR, MAX_OPSET
from onnxferry.system.errors import PrepareError

WEIGHTS_FILE = "model.onnx.data"
EXTERNAL_FROM = 1_000_000  # bytes of weights; fewer stay in the graph's file
LEAST_MOVED = 1024  # bytes of a tensor
LIMIT = 2**31 - 1  # bytes of a protobuf
_ALIGNMENT = 64  # bytes
Tensors: TypeAlias = Mapping[str, ir.TensorProtocol]  # a graph's weights by name


def copy(source: Path, target: Path) -> None:
    """Write the graph `source`, whose weights may be in it or in files beside it, to `target`. If
    they take at least EXTERNAL_FROM bytes, they go into one file beside that. The same graph makes
    the same bytes."""
    model = read(source)
    tensors = {t.name: _tensor(t, source) for t in model.graph.initializer}
    inner = [t for t in _inner_tensors(model.graph.node) if _is_external(t)]
    if not inner and not _moved(model, tensors) and not any(map(_is_external, _weights(model))):
        shutil.copyfile(source, target)
        return
    for tensor in inner:
        _put_in(tensor, _tensor(tensor, source))
    write(model, tensors, target)


def files(path: Path) -> list[Path]:
    """The files of a graph: itself, then those of its weights. Raises PrepareError for a file that
    is absent, too short or outside of the graph's folder."""
    model = read(path)
    tensors = (_tensor(t, path) for t in (*_weights(model), *_inner_tensors(model.graph.node)))
    beside = {Path(t.path) for t in tensors if isinstance(t, ir.ExternalTensor)}
    return [path, *sorted(beside)]


def weight_files(path: Path) -> tuple[str, ...]:
    """The names, relative to the graph's folder, of the other files that its weights are in."""
    helper = onnx.external_data_helper
    stored = filter(helper.uses_external_data, read(path).graph.initializer)
    return tuple(dict.fromkeys(helper.ExternalDataInfo(tensor).location for tensor in stored))


def versions(path: Path) -> tuple[int, int]:
    """Opset and IR version of a graph. Raises PrepareError when no host loads such."""
    model = read(path)
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


def read(path: Path) -> onnx.ModelProto:
    """The model of a file, without the weights that lie in other files."""
    try:
        return onnx.load(path, load_external_data=False)
    except Exception as e:  # DecodeError, FileNotFoundError
        raise PrepareError(f"{path}: not readable as an ONNX model: {e}") from e


def write(model: onnx.ModelProto, tensors: Tensors, path: Path) -> None:
    """Write a graph to `path`, its weights as `copy` does. `tensors` has all of them; what `model`
    itself holds of the external ones is not read. On failure nothing is left."""
    moved = _moved(model, tensors)
    beside = path.with_name(f"{path.name}.data")
    try:
        for proto in _weights(model):
            if proto.name not in moved and _is_external(proto):
                _put_in(proto, tensors[proto.name])
        if moved:
            _write_weights([p for p in _weights(model) if p.name in moved], tensors, beside)
        path.write_bytes(serialised(model, path.name))
    except BaseException:
        for made in (path, beside):
            made.unlink(missing_ok=True)
        raise


def serialised(model: onnx.ModelProto, name: str) -> bytes:
    """One protobuf. Raises PrepareError beyond its limit."""
    size = model.ByteSize()
    if size > LIMIT:
        held = f"{size:,} bytes besides the weights that lie in files of their own"
        raise PrepareError(f"{name}: the graph takes {held}; a protobuf holds {LIMIT:,}")
    return bytes(model.SerializeToString())


def _write_weights(protos: Iterable[onnx.TensorProto], tensors: Tensors, path: Path) -> None:
    with path.open("wb") as file:
        for proto in protos:
            file.write(bytes(-file.tell() % _ALIGNMENT))
            offset, tensor = file.tell(), tensors[proto.name]
            tensor.tofile(file)  # type: ignore[attr-defined]  # all of onnx-ir's have it
            place = onnx.TensorProto(name=proto.name, dims=proto.dims, data_type=proto.data_type)
            place.data_location = onnx.TensorProto.EXTERNAL
            where = {"location": path.name, "offset": offset, "length": tensor.nbytes}
            for key, value in where.items():
                place.external_data.add(key=key, value=str(value))
            proto.CopyFrom(place)


def _moved(model: onnx.ModelProto, tensors: Tensors) -> frozenset[str]:
    """The names of the weights that go into a file of their own."""
    numeric = [t.name for t in _weights(model) if t.data_type != onnx.TensorProto.STRING]
    sizes = {name: tensors[name].nbytes for name in numeric}
    large = {name for name, size in sizes.items() if size >= LEAST_MOVED}
    return frozenset(large if sum(sizes[name] for name in large) >= EXTERNAL_FROM else ())


def _weights(model: onnx.ModelProto) -> Iterable[onnx.TensorProto]:
    found: Iterable[onnx.TensorProto] = model.graph.initializer
    return found


def _inner_tensors(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.TensorProto]:
    """The tensors of operators: of Constant, and those of the bodies of If and Loop."""
    for node in nodes:
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from graph.initializer
                yield from _inner_tensors(graph.node)


def _is_external(tensor: onnx.TensorProto) -> bool:
    return bool(tensor.data_location == onnx.TensorProto.EXTERNAL)


def _put_in(proto: onnx.TensorProto, tensor: ir.TensorProtocol) -> None:
    """Make the numbers part of the protobuf."""
    proto.raw_data = tensor.tobytes()
    proto.ClearField("external_data")
    proto.ClearField("data_location")


def _tensor(proto: onnx.TensorProto, graph: Path) -> ir.TensorProtocol:
    """The tensor of `proto`, wherever its numbers are. Raises PrepareError as `files`."""
    if not _is_external(proto):
        inside: ir.TensorProtocol = ir.from_proto(proto)
        return inside
    what = f"{graph.name}: weights {proto.name!r}"
    try:
        info, dtype = (
            onnx.external_data_helper.ExternalDataInfo(proto),
            ir.DataType(proto.data_type),
        )
    except ValueError as e:
        raise PrepareError(f"{what}: {e}") from e
    place, offset = PurePath(info.location), info.offset or 0
    if place.is_absolute() or ".." in place.parts:
        raise PrepareError(f"{what} are in {info.location}, outside of the model's folder")
    path, shape = (graph.parent / place).absolute(), ir.Shape(proto.dims)
    # without a base_dir: links are followed, as download caches have them
    found = ir.ExternalTensor(path, offset, info.length, dtype, shape=shape, name=proto.name)
    if not path.is_file():
        raise PrepareError(f"{what} are in {info.location}, and {path} is not there: copy it too")
    if info.length not in (None, found.nbytes):
        held = f"{info.length:,} bytes, but {dtype.name} {list(proto.dims)} takes {found.nbytes:,}"
        raise PrepareError(f"{what} are said to have {held}: export the model again")
    if (size := path.stat().st_size) < offset + found.nbytes:
        ends = f"end at byte {offset + found.nbytes:,}, but the file has {size:,}"
        raise PrepareError(f"{what} are in {path} and {ends}: it is cut off; copy it again")
    return found

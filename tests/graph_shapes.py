"""Graphs of tests/tiny.py with other shapes, names and types of their inputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx
from onnx import TensorProto, helper


def fix(folder: Path, **sizes: int) -> Path:
    """The model directory with sizes in the place of names: fix(folder, batch=1, sequence=12)."""
    model = onnx.load(folder / "model.onnx")
    for value in (*model.graph.input, *model.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if dimension.dim_param in sizes:
                dimension.dim_value = sizes[dimension.dim_param]
    onnx.save(model, folder / "model.onnx")
    return folder


def rename(folder: Path, names: Mapping[str, str]) -> Path:
    """The model directory with other names of its graph's inputs."""
    model = onnx.load(folder / "model.onnx")
    for value in model.graph.input:
        value.name = names.get(value.name, value.name)
    for node in model.graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
    onnx.save(model, folder / "model.onnx")
    return folder


def retype(folder: Path, kind: int = TensorProto.INT32) -> Path:
    """The model directory with inputs of another type, which the graph casts to its own."""
    model = onnx.load(folder / "model.onnx")
    casts = []
    for value in model.graph.input:
        own, name = value.type.tensor_type.elem_type, f"{value.name}_cast"
        for node in model.graph.node:
            node.input[:] = [name if n == value.name else n for n in node.input]
        value.type.tensor_type.elem_type = kind
        casts.append(helper.make_node("Cast", [value.name], [name], to=own))
    nodes = [*casts, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, folder / "model.onnx")
    return folder


def channels_last(folder: Path) -> Path:
    """The model directory of a graph that takes [batch, height, width, channels]."""
    model = onnx.load(folder / "model.onnx")
    (pixels,) = model.graph.input
    dims = pixels.type.tensor_type.shape.dim
    order = [
        onnx.TensorShapeProto.Dimension.FromString(dims[i].SerializeToString())
        for i in (0, 2, 3, 1)
    ]
    del dims[:]
    dims.extend(order)
    for node in model.graph.node:
        node.input[:] = ["channels_first" if name == pixels.name else name for name in node.input]
    turned = helper.make_node("Transpose", [pixels.name], ["channels_first"], perm=[0, 3, 1, 2])
    nodes = [turned, *model.graph.node]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, folder / "model.onnx")
    return folder

"""A table of variants that is quick to make and may be broken on purpose: the graph as exported, an
equal copy, and int8 weights by onnxruntime's own tool."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from onnxruntime.quantization import QuantType, quantize_dynamic

from onnxferry.scripts.prepare.variants.encoder_architecture import Architecture
from onnxferry.scripts.prepare.variants.fusion import Fusion
from onnxferry.scripts.prepare.variants.table import VariantTable
from onnxferry.scripts.prepare.variants.variant import OperatorGroup, Variant, VariantInputs

Make = Callable[[VariantInputs, Path, frozenset[str]], None]


def copy(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    shutil.copyfile(inputs.exported, target)


def int8(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    quantize_dynamic(
        inputs.exported,
        target,
        ["MatMul"],
        per_channel=True,
        reduce_range=True,
        weight_type=QuantType.QInt8,
        nodes_to_exclude=sorted(keep),
    )


def damaged(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    """As a quantiser that gets its scales wrong."""
    int8(inputs, target, keep)
    model = onnx.load(target)
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_scale"):
            tensor.CopyFrom(
                numpy_helper.from_array(-3 * numpy_helper.to_array(tensor), tensor.name)
            )
    onnx.save(model, target)


def broken(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    raise RuntimeError("no such operator")


def no_graph(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    target.write_bytes(b"not a graph")


def degrading(operator: str) -> Make:
    """int8 whose one `operator` loses its weights, as a matrix with huge outliers does."""

    def make(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
        model = onnx.load(inputs.exported)
        node = next(n for n in model.graph.node if n.name == operator)
        for tensor in model.graph.initializer:
            if tensor.name in node.input and operator not in keep:
                tensor.CopyFrom(
                    numpy_helper.from_array(0 * numpy_helper.to_array(tensor), tensor.name)
                )
        degraded = target.with_name("degraded.onnx")
        onnx.save(model, degraded)
        int8(replace(inputs, exported=degraded), target, keep)
        degraded.unlink()

    return make


def products(path: Path) -> list[str]:
    """The names of a graph's products with weights."""
    graph = onnx.load(path).graph
    weights = {t.name for t in graph.initializer if np.prod(t.dims) > 1}
    return [n.name for n in graph.node if n.op_type == "MatMul" and weights & set(n.input)]


def groups(inputs: VariantInputs) -> Sequence[OperatorGroup]:
    return [OperatorGroup(name, frozenset({name})) for name in products(inputs.exported)]


def skipped(variant: Variant, cpu: str, inputs: VariantInputs) -> str | None:
    return f"{cpu} has no such instructions" if variant.name == "int4" else None


def unfused(exported: Path, target: Path, architecture: Architecture | None = None) -> Fusion:
    return Fusion(None, {"Attention": 0}, {"Attention": 2}, ("2 of 2 attentions are not fused",))


EXPORTED = Variant("fp32", "fp32", "as exported", copy)
COPY = Variant("fp32-copy", "fp32", "the same again", copy)
INT8 = Variant("int8", "int8", "dynamic int8", int8)


def table(*variants: Variant) -> VariantTable:
    return VariantTable((EXPORTED, *variants), skipped, groups, unfused)

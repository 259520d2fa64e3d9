"""One linear layer in each form that stores its weights otherwise; what prepare makes, where it
makes that form."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from onnxferry.scripts.prepare.variants.int8_linear import int8_linear
from onnxferry.scripts.prepare.variants.variant import (
    FULL_RANGE,
    REDUCED_RANGE,
    UINT8,
    VariantInputs,
    WeightFormat,
)

ROWS, SIZE = 128, 768  # tokens, and the width of DistilBERT and BERT-base
PRODUCTS = ROWS * SIZE * SIZE

ANY = "U8S8, 7 bits"  # what prepare makes for any CPU
FORMS = ("float32", ANY, "U8S8, 8 bits", "U8S8, 8 bits, dynamic", "U8U8, 8 bits", "S8S8, 8 bits")


def write(folder: Path) -> dict[str, Path]:
    """Form -> a graph of it: input x, float32 [ROWS, SIZE]."""
    exported = folder / "float32.onnx"
    onnx.save(_float32(), exported)
    inputs = VariantInputs(exported, None, [{"x": numbers()}])
    makers: dict[str, Callable[[Path], None]] = {
        ANY: partial(_int8, True, REDUCED_RANGE, inputs),
        "U8S8, 8 bits": partial(_int8, True, FULL_RANGE, inputs),
        "U8S8, 8 bits, dynamic": partial(_int8, False, FULL_RANGE, inputs),
        "U8U8, 8 bits": partial(_int8, True, UINT8, inputs),
        "S8S8, 8 bits": partial(_signed, inputs),
    }
    made = {"float32": exported}
    for number, (name, make) in enumerate(makers.items()):
        made[name] = folder / f"int8-{number}.onnx"
        make(made[name])
    return made


def numbers() -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """What the layer is asked: float32 [ROWS, SIZE], from -1 to 1."""
    return np.linspace(-1, 1, ROWS * SIZE, dtype=np.float32).reshape(ROWS, SIZE)


def _float32() -> onnx.ModelProto:
    weights = np.random.default_rng(0).normal(size=(SIZE, SIZE)).astype(np.float32)
    held = {"w": weights, "b": np.zeros(SIZE, np.float32)}
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [ROWS, SIZE]) for name in ("x", "y")
    )
    nodes = [helper.make_node("MatMul", ["x", "w"], ["z"], name="layer")]
    nodes.append(helper.make_node("Add", ["z", "b"], ["y"]))
    graph = helper.make_graph(
        nodes, "layer", [x], [y], [numpy_helper.from_array(v, k) for k, v in held.items()]
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


def _int8(static: bool, weights: WeightFormat, inputs: VariantInputs, target: Path) -> None:
    int8_linear(static, weights, inputs, target, frozenset())


def _signed(inputs: VariantInputs, target: Path) -> None:
    """The full range with signed activations too, which prepare does not make."""
    int8_linear(True, FULL_RANGE, inputs, target, frozenset())
    model = onnx.load(target)
    for tensor in model.graph.initializer:
        array = numpy_helper.to_array(tensor)
        if array.dtype == np.uint8:  # the activations' zero point
            moved = (array.astype(np.int16) - 128).astype(np.int8)
            tensor.CopyFrom(numpy_helper.from_array(moved, tensor.name))
    onnx.save(model, target)

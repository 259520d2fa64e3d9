"""A graph's answers by onnx's own evaluator, in numpy: the same on every CPU, also where the int8
kernels of onnxruntime overflow. Its own operators are added here as its documentation says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun

from onnxferry.scoring.engine import Array


def run(path: Path, feeds: Mapping[str, Array]) -> list[Array]:
    """The outputs of the graph for `feeds`, which may hold more than its inputs."""
    model = onnx.load(path)
    names = {value.name for value in model.graph.input}
    evaluator = ReferenceEvaluator(model, new_ops=[*_OPERATORS])
    result: list[Array] = evaluator.run(None, {n: a for n, a in feeds.items() if n in names})
    return result


_ERF = np.vectorize(math.erf, otypes=[np.float64])


class _Operator(OpRun):  # type: ignore[misc]
    op_domain = "com.microsoft"


class MatMulIntegerToFloat(_Operator):
    def _run(self, a: Array, b: Array, *rest: Array) -> tuple[Array]:
        scale_a, scale_b, zero_a, zero_b, *bias = rest
        product = (_whole(a, zero_a) @ _whole(b, zero_b)) * (scale_a * scale_b)
        return (sum(bias, product).astype(np.float32),)


class Attention(_Operator):
    def _run(
        self, x: Array, weights: Array, bias: Array, *mask: Array, num_heads: int = 0, **_: Any
    ) -> tuple[Array]:
        return (_attention(_split(x @ weights + bias), mask[0] if mask else None, num_heads),)


class QAttention(_Operator):
    def _run(self, x: Array, weights: Array, bias: Array, *rest: Any, num_heads: int = 0) -> Any:
        scale_x, scale_w, mask, zero_x, zero_w = rest
        product = (_whole(x, zero_x) @ _whole(weights, zero_w)) * (scale_x * scale_w)
        return (_attention(_split(product.astype(np.float32) + bias), mask, num_heads),)


class MultiHeadAttention(_Operator):
    def _run(
        self, query: Array, key: Array, value: Array, bias: Array, *mask: Array, num_heads: int = 0
    ) -> tuple[Array]:
        parts = [x + b for x, b in zip((query, key, value), _split(bias), strict=True)]
        return (_attention(parts, mask[0] if mask else None, num_heads),)


class Gelu(_Operator):
    def _run(self, x: Array) -> tuple[Array]:
        return (_gelu(x),)


class FastGelu(_Operator):
    def _run(self, x: Array) -> tuple[Array]:
        inner = np.sqrt(2 / np.pi) * (x + 0.044715 * x**3)
        return ((0.5 * x * (1 + np.tanh(inner))).astype(np.float32),)


class BiasGelu(_Operator):
    def _run(self, x: Array, bias: Array) -> tuple[Array]:
        return (_gelu(x + bias),)


class DequantizeLinear(OpRun):  # type: ignore[misc]
    """Of the standard: onnx's own implementation begins at opset 19."""

    op_domain = ""

    def _run(self, x: Array, scale: Array, zero: Array, axis: int = 1, **_: Any) -> tuple[Array]:
        shape = [-1 if i == axis and scale.ndim else 1 for i in range(x.ndim)]
        whole = x.astype(np.int64) - zero.reshape(shape)
        return ((whole * scale.reshape(shape)).astype(np.float32),)


def _gelu(x: Array) -> Array:
    result: Array = x * (0.5 * (1 + _ERF(x / np.sqrt(2)))).astype(np.float32)
    return result


def _whole(values: Array, zero: Array) -> Array:
    return values.astype(np.int64) - zero


def _split(projected: Array) -> list[Array]:
    """Queries, keys and values."""
    return np.split(projected, 3, -1)


def _attention(parts: Sequence[Array], mask: Array | None, heads: int) -> Array:
    queries, keys, values = (
        part.reshape(*part.shape[:2], heads, -1).transpose(0, 2, 1, 3) for part in parts
    )
    scores = queries @ keys.swapaxes(-1, -2) / np.sqrt(queries.shape[-1])
    if mask is not None:
        scores = np.where(mask[:, None, None, :] != 0, scores, -1e9)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    mixed = weights / weights.sum(-1, keepdims=True) @ values
    result: Array = mixed.transpose(0, 2, 1, 3).reshape(parts[0].shape)
    return result.astype(np.float32)


_OPERATORS = (
    MultiHeadAttention,
    MatMulIntegerToFloat,
    Attention,
    QAttention,
    Gelu,
    FastGelu,
    BiasGelu,
    DequantizeLinear,
)

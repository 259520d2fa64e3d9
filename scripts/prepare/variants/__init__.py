"""The ways to make one model faster or smaller: each a graph made of the exported one.

VARIANTS is the table; `skipped` says why one is not tried for a CPU kind or for what a graph holds.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import onnxferry.scoring.engine  # noqa: F401  before any part imports onnxruntime: it says that nothing is to be told to its maker
from onnxferry.scoring import cpu
from onnxferry.scripts.prepare.variants import applicability, linear
from onnxferry.scripts.prepare.variants.calibration import observed
from onnxferry.scripts.prepare.variants.convolution import quantise_convolutions
from onnxferry.scripts.prepare.variants.embedding import quantise_embeddings
from onnxferry.scripts.prepare.variants.float16 import halve
from onnxferry.scripts.prepare.variants.fusion import Architecture, Fusion, fuse
from onnxferry.scripts.prepare.variants.grouping import groups
from onnxferry.scripts.prepare.variants.linear import Form
from onnxferry.scripts.prepare.variants.onnx_graph import Graph
from onnxferry.scripts.prepare.variants.smoothing import smooth
from onnxferry.scripts.prepare.variants.variant_inputs import Group, Material, Variant

__all__ = [
    "VARIANTS",
    "Architecture",
    "Fusion",
    "Group",
    "Material",
    "Variant",
    "fuse",
    "groups",
    "skipped",
]

Make = Callable[[Material, Path, frozenset[str]], None]


def _exported(material: Material, target: Path, keep: frozenset[str]) -> None:
    target.write_bytes(material.exported.read_bytes())


def _optimised(material: Material, target: Path, keep: frozenset[str]) -> None:
    target.write_bytes(material.best.read_bytes())


def _linear(form: Form, static: bool = False) -> Make:
    def make(material: Material, target: Path, keep: frozenset[str]) -> None:
        graph = Graph.read(material.best)
        seen = observed(material, linear.inputs(graph)) if static else None
        linear.quantise(graph, keep, form, smooth(graph, keep, seen) if seen else None)
        quantise_embeddings(graph, keep)
        graph.save(target)

    return make


def _convolutions(form: Form) -> Make:
    return lambda material, target, keep: quantise_convolutions(material, target, keep, form)


def _half(material: Material, target: Path, keep: frozenset[str]) -> None:
    graph = Graph.read(material.best)
    halve(graph, keep)
    graph.save(target)


VARIANTS: tuple[Variant, ...] = (
    Variant("fp32", "fp32", "as exported", _exported),
    Variant(
        "fp32-optimised",
        "fp32",
        "attention, Gelu and LayerNormalization as one operator each",
        _optimised,
    ),
    Variant(
        "int8-dynamic-u8s8",
        "int8",
        "int8 weights, activations' scale from each run",
        _linear(linear.FULL),
    ),
    Variant(
        "int8-dynamic-u8s8-reduced",
        "int8",
        "7-bit weights, activations' scale from each run",
        _linear(linear.REDUCED),
    ),
    Variant(
        "int8-dynamic-u8u8",
        "int8",
        "uint8 weights, activations' scale from each run",
        _linear(linear.UNSIGNED),
    ),
    Variant(
        "int8-static",
        "int8",
        "int8 weights, activations smoothed, of measured scale",
        _linear(linear.FULL, True),
    ),
    Variant(
        "int8-static-reduced",
        "int8",
        "7-bit weights, activations smoothed, of measured scale",
        _linear(linear.REDUCED, True),
    ),
    Variant(
        "int8-static-cnn",
        "int8",
        "convolutions in int8, scales measured beforehand",
        _convolutions(linear.FULL),
    ),
    Variant(
        "int8-static-cnn-reduced",
        "int8",
        "convolutions with 7-bit weights, scales measured beforehand",
        _convolutions(linear.REDUCED),
    ),
    Variant("fp16-weights", "fp16", "weights stored as float16, computed with as float32", _half),
)
# beginning of a variant's name -> what it asks of a graph; the longest beginning counts
_METHODS = {
    "fp32": None,
    "fp32-optimised": "fused",
    "int8-dynamic": "linear",
    "int8-static": "static",
    "int8-static-cnn": "convolution",
    "fp16-weights": "half",
}


def skipped(variant: Variant, kind: str, material: Material) -> str | None:
    """Why `variant` is not tried for CPUs of kind `kind` or for this graph; None when it is."""
    if kind not in cpu.KINDS:
        raise ValueError(f"cpu: expected one of {', '.join(cpu.KINDS)}, got {kind!r}")
    method = _METHODS[max((name for name in _METHODS if variant.name.startswith(name)), key=len)]
    if method and (reason := applicability.unfit(method, material)):
        return reason
    if variant.precision != "int8":
        return None
    return applicability.unfit_cpu(variant.name, kind)

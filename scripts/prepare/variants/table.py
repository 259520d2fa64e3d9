"""The table of variants: what is tried, and what makes each one.

A new variant is one row of VARIANTS.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from onnxferry.scripts.prepare.options import AUTO, Options
from onnxferry.scripts.prepare.variants import applicability
from onnxferry.scripts.prepare.variants.float16 import make_float16
from onnxferry.scripts.prepare.variants.fusion import Architecture, Fusion, fuse
from onnxferry.scripts.prepare.variants.int8_convolution import int8_convolutions
from onnxferry.scripts.prepare.variants.int8_linear import int8_dynamic, int8_static
from onnxferry.scripts.prepare.variants.operator_groups import groups
from onnxferry.scripts.prepare.variants.variant import (
    Make,
    Method,
    OperatorGroup,
    Variant,
    VariantInputs,
)
from onnxferry.scripts.prepare.variants.weight_format import (
    FULL_RANGE,
    REDUCED_RANGE,
    UINT8,
    WeightFormat,
)
from onnxferry.system.errors import UsageError

MakeInt8: TypeAlias = Callable[[WeightFormat], Make]


@dataclass(frozen=True)
class VariantTable:
    """`variants`: the first is the graph as exported, which the others are compared with.
    `skipped(variant, cpu kind, inputs)` tells why one is not tried, `groups` what mixed precision
    may keep, `fuse` makes the optimised graph."""

    variants: Sequence[Variant]
    skipped: Callable[[Variant, str, VariantInputs], str | None]
    groups: Callable[[VariantInputs], Sequence[OperatorGroup]]
    fuse: Callable[[Path, Path, Architecture | None], Fusion]

    def asked(self, options: Options) -> Sequence[Variant]:
        """The variants that may be chosen.

        Raises UsageError for a name that is unknown or of another precision.
        """
        fits = [v for v in self.variants if options.precision in (AUTO, v.precision)]
        if options.variant is None:
            return fits
        names = [v.name for v in self.variants]
        if options.variant not in names:
            raise UsageError(f"--variant {options.variant}: choose one of {', '.join(names)}")
        found = [v for v in fits if v.name == options.variant]
        if not found:
            raise UsageError(
                f"--variant {options.variant}: is not {options.precision} (--precision);"
                " leave one of both out"
            )
        return found


def _exported(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    shutil.copyfile(inputs.exported, target)


def _optimised(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    shutil.copyfile(inputs.best, target)


def _int8(name: str, how: str, make: MakeInt8, weights: WeightFormat, method: Method) -> Variant:
    return Variant(name, "int8", how, make(weights), method, weights.not_on)


VARIANTS = (
    Variant("fp32", "fp32", "as exported", _exported),
    Variant(
        "fp32-optimised",
        "fp32",
        "attention, Gelu and LayerNormalization as one operator each",
        _optimised,
        "fused",
    ),
    _int8(
        "int8-dynamic-u8s8",
        "int8 weights, activations' scale from each run",
        int8_dynamic,
        FULL_RANGE,
        "linear",
    ),
    _int8(
        "int8-dynamic-u8s8-reduced",
        "7-bit weights, activations' scale from each run",
        int8_dynamic,
        REDUCED_RANGE,
        "linear",
    ),
    _int8(
        "int8-dynamic-u8u8",
        "uint8 weights, activations' scale from each run",
        int8_dynamic,
        UINT8,
        "linear",
    ),
    _int8(
        "int8-static",
        "int8 weights, activations smoothed, of measured scale",
        int8_static,
        FULL_RANGE,
        "static",
    ),
    _int8(
        "int8-static-reduced",
        "7-bit weights, activations smoothed, of measured scale",
        int8_static,
        REDUCED_RANGE,
        "static",
    ),
    _int8(
        "int8-static-cnn",
        "convolutions in int8, scales measured beforehand",
        int8_convolutions,
        FULL_RANGE,
        "convolution",
    ),
    _int8(
        "int8-static-cnn-reduced",
        "convolutions with 7-bit weights, scales measured beforehand",
        int8_convolutions,
        REDUCED_RANGE,
        "convolution",
    ),
    Variant(
        "fp16-weights",
        "fp16",
        "weights stored as float16, computed with as float32",
        make_float16,
        "half",
    ),
)
SHIPPED = VariantTable(VARIANTS, applicability.skipped, groups, fuse)
"""The table that the command line uses."""

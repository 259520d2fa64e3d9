"""The table of variants: what is tried, and what makes each one.

A new variant is one row of VARIANTS.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnxferry.scripts.prepare.options import AUTO, Options
from onnxferry.scripts.prepare.variants.applicability import skipped
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


@dataclass(frozen=True)
class VariantTable:
    """`variants`: the first is the graph as exported, which the others are compared with.
    `skipped` tells why one is not tried for a CPU kind, `groups` what mixed precision may keep,
    `fuse` makes the optimised graph."""

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
        found = [v for v in self.variants if v.name == options.variant]
        if not found:
            names = ", ".join(v.name for v in self.variants)
            raise UsageError(f"--variant {options.variant}: choose one of {names}")
        if found[0] not in fits:
            raise UsageError(
                f"--variant {options.variant}: is not {options.precision} (--precision);"
                " leave one of both out"
            )
        return found


def _exported(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    shutil.copyfile(inputs.exported, target)


def _optimised(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    shutil.copyfile(inputs.best, target)


def _int8(
    make: Callable[[WeightFormat], Make], method: Method, how: str, name: str, weights: WeightFormat
) -> Variant:
    """A row; {} in `how` stands for the weights."""
    return Variant(name, "int8", how.format(weights.name), make(weights), method, weights.not_on)


_dynamic = partial(_int8, int8_dynamic, "linear", "{} weights, activations' scale from each run")
_static = partial(
    _int8, int8_static, "static", "{} weights, activations smoothed, of measured scale"
)
_convolutions = partial(
    _int8,
    int8_convolutions,
    "convolution",
    "convolutions with {} weights, scales measured beforehand",
)
_FUSED = "attention, Gelu and LayerNormalization as one operator each"
_HALF = "weights stored as float16, computed with as float32"

VARIANTS = (
    Variant("fp32", "fp32", "as exported", _exported),
    Variant("fp32-optimised", "fp32", _FUSED, _optimised, "fused"),
    _dynamic("int8-dynamic-u8s8", FULL_RANGE),
    _dynamic("int8-dynamic-u8s8-reduced", REDUCED_RANGE),
    _dynamic("int8-dynamic-u8u8", UINT8),
    _static("int8-static", FULL_RANGE),
    _static("int8-static-reduced", REDUCED_RANGE),
    _convolutions("int8-static-cnn", FULL_RANGE),
    _convolutions("int8-static-cnn-reduced", REDUCED_RANGE),
    Variant("fp16-weights", "fp16", _HALF, make_float16, "half"),
)
SHIPPED = VariantTable(VARIANTS, skipped, groups, fuse)
"""The table that the command line uses."""

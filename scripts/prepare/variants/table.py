"""The table of variants: what is tried, and what makes each. A new one is a row of VARIANTS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.options import AUTO, Options
from onnxferry.scripts.prepare.variants.applicability import skipped
from onnxferry.scripts.prepare.variants.encoder_architecture import Architecture
from onnxferry.scripts.prepare.variants.float16 import make_float16
from onnxferry.scripts.prepare.variants.fusion import Fusion, fuse
from onnxferry.scripts.prepare.variants.int8_convolution import int8_convolutions
from onnxferry.scripts.prepare.variants.int8_linear import int8_linear
from onnxferry.scripts.prepare.variants.operator_groups import groups
from onnxferry.scripts.prepare.variants.variant import (
    DYNAMIC,
    FULL_RANGE,
    REDUCED_RANGE,
    UINT8,
    Method,
    OperatorGroup,
    Variant,
    VariantInputs,
    WeightFormat,
)
from onnxferry.system.errors import UsageError


@dataclass(frozen=True)
class VariantTable:
    """`variants`: the first is as exported. `skipped` tells why one is not tried for a CPU kind,
    `groups` what mixed precision may keep, `fuse` makes the optimised graph."""

    variants: Sequence[Variant]
    skipped: Callable[[Variant, str, VariantInputs], str | None]
    groups: Callable[[VariantInputs], Sequence[OperatorGroup]]
    fuse: Callable[[Path, Path, Architecture | None], Fusion]

    def asked(self, options: Options) -> Sequence[Variant]:
        """The variants that may be chosen. Raises UsageError for a name that is unknown or of
        another precision."""
        name, precision = options.variant, options.precision
        found = [v for v in self.variants if name in (None, v.name)]
        if not found:
            names = ", ".join(v.name for v in self.variants)
            raise UsageError(f"--variant {name}: choose one of {names}")
        fits = [v for v in found if precision in (AUTO, v.precision)]
        if name and not fits:
            raise UsageError(f"--variant {name}: is not {precision} (--precision)")
        return fits


def _exported(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    onnx_file_io.copy(inputs.exported, target)


def _optimised(inputs: VariantInputs, target: Path, keep: frozenset[str]) -> None:
    onnx_file_io.copy(inputs.best, target)


def _int8(
    make: Callable[..., None], method: Method, how: str, name: str, weights: WeightFormat
) -> Variant:
    """A row; {} in `how` stands for the weights."""
    how, not_on = how.format(weights.name), dict(weights.not_on)
    not_on |= DYNAMIC if method == "linear" else {}
    return Variant(name, "int8", how, partial(make, weights), method, not_on)


_EACH = "{} weights, activations' scale from each run"
_dynamic = partial(_int8, partial(int8_linear, False), "linear", _EACH)
_SMOOTHED = "{} weights, activations smoothed, of measured scale"
_static = partial(_int8, partial(int8_linear, True), "static", _SMOOTHED)
_MEASURED = "convolutions with {} weights, scales measured beforehand"
_convolutions = partial(_int8, int8_convolutions, "convolution", _MEASURED)
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
    _static("int8-static-u8u8", UINT8),
    _convolutions("int8-static-cnn", FULL_RANGE),
    _convolutions("int8-static-cnn-reduced", REDUCED_RANGE),
    Variant("fp16-weights", "fp16", _HALF, make_float16, "half"),
)
SHIPPED = VariantTable(VARIANTS, skipped, groups, fuse)

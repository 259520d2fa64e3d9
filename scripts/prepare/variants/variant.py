"""What a variant is, what it is made of, and how it stores weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from onnxferry.scoring.engine import Array
from onnxferry.scripts.prepare.options import ANY


@dataclass(frozen=True, eq=False)
class VariantInputs:
    """The float32 graph as `exported` and with fused operators (`optimised`, None where nothing
    could be fused), and real feeds to calibrate with: input name -> array [batch, ...]."""

    exported: Path
    optimised: Path | None
    calibration: Sequence[Mapping[str, Array]] = ()

    @property
    def best(self) -> Path:
        """The float32 graph that int8 is made of."""
        return self.optimised or self.exported


Method = Literal["fused", "linear", "static", "convolution", "half"]


@dataclass(frozen=True)
class Variant:
    """One row of the table. `how` is its line in the report. `make(inputs, target, keep)` writes
    the graph `target`, with the operators named in `keep` in float32. `method` says what it asks of
    a graph. `not_on`: CPU kind, or ANY -> why it is not tried for it."""

    name: str
    precision: str
    how: str
    make: Callable[[VariantInputs, Path, frozenset[str]], None]
    method: Method | None = None
    not_on: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatorGroup:
    """Operators that mixed precision keeps in float32 together ("layer 3, output dense")."""

    name: str
    operators: frozenset[str]


@dataclass(frozen=True)
class WeightFormat:
    """Whole numbers from -`limit` to `limit`, as int8 or, shifted by 128, as uint8. `not_on` is a
    variant's; {} stands for the kind."""

    name: str
    limit: int
    signed: bool
    not_on: Mapping[str, str]


_OVERFLOW = "{} adds products in 16 bits, which weights of 8 bits overflow; tried with 7 bits"
_NEEDLESS = "{} does not overflow with weights of 8 bits: 7 would lose accuracy for nothing"
_SAME = "on {} uint8 weights give the same numbers as int8 weights, "
_SOME = "weights of 8 bits overflow on some kinds of CPU; tried with 7 bits"

_FULL = {**dict.fromkeys(("avx2", "avx512"), _OVERFLOW), ANY: _SOME}
FULL_RANGE = WeightFormat("int8", 127, True, _FULL)
# two products, 255 * 64 * 2, fit the 16 bits that AVX2 adds them in
REDUCED_RANGE = WeightFormat("7-bit", 64, True, dict.fromkeys(("avx512-vnni", "arm64"), _NEEDLESS))
_NO_USE = {"avx512-vnni": f"{_SAME}at half the speed", "arm64": f"{_SAME}no faster"}
UINT8 = WeightFormat("uint8", 127, False, _NO_USE)
# of a trained model (MiniLM), scores on arm64 and on AVX2 were four times as far apart as with
# measured scales: up to 0.024 against 0.007
DYNAMIC = {
    ANY: "a run's own scale depends on how a CPU rounds; tried with scales measured beforehand"
}

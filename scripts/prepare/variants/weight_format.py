"""How int8 variants store weights, and the CPU kinds that each form is not for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_OVERFLOW = (
    "{} adds two products of uint8 and int8 in 16 bits, which weights of 8 bits overflow; tried"
    " with 7 bits"
)
_NEEDLESS = (
    "{} does not overflow with weights of 8 bits: with 7 bits a bit would be given away for nothing"
)
_SAME = "on {} uint8 weights give the same numbers as int8 weights, "


@dataclass(frozen=True)
class WeightFormat:
    """Weights are whole numbers from -`limit` to `limit`, as int8 or, shifted by 128, as uint8.
    `not_on`: CPU kind -> why the format is not tried there, where {} stands for the kind."""

    name: str
    limit: int
    signed: bool
    not_on: Mapping[str, str]


FULL_RANGE = WeightFormat("int8", 127, True, {"avx2": _OVERFLOW, "avx512": _OVERFLOW})
REDUCED_RANGE = WeightFormat(  # two products, 255 * 64 * 2, fit the 16 bits that AVX2 adds them in
    "7-bit", 64, True, {"avx512-vnni": _NEEDLESS, "arm64": _NEEDLESS}
)
UINT8 = WeightFormat(
    "uint8", 127, False, {"avx512-vnni": f"{_SAME}at half the speed", "arm64": f"{_SAME}no faster"}
)

"""How int8 variants store weights, and for which CPU kinds not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

_OVERFLOW = (
    "{} adds products of uint8 and int8 weights in 16 bits, which overflow; tried with 7 bits"
)
_NEEDLESS = "{} does not overflow with weights of 8 bits: 7 bits would lose accuracy for nothing"
_SAME = "on {} uint8 weights give the same numbers as int8 weights, "


@dataclass(frozen=True)
class WeightFormat:
    """Whole numbers from -`limit` to `limit`, as int8 or, shifted by 128, as uint8. `not_on`: CPU
    kind -> why the format is not tried there; {} stands for the kind."""

    name: str
    limit: int
    signed: bool
    not_on: Mapping[str, str]


FULL_RANGE = WeightFormat("int8", 127, True, dict.fromkeys(("avx2", "avx512"), _OVERFLOW))
# two products, 255 * 64 * 2, fit the 16 bits that AVX2 adds them in
REDUCED_RANGE = WeightFormat("7-bit", 64, True, dict.fromkeys(("avx512-vnni", "arm64"), _NEEDLESS))
_NO_USE = {"avx512-vnni": f"{_SAME}at half the speed", "arm64": f"{_SAME}no faster"}
UINT8 = WeightFormat("uint8", 127, False, _NO_USE)

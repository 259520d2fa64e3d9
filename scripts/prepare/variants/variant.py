"""What a variant is, what it is made of, and what it quantises together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from onnxferry.scoring.engine import Array


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


Method: TypeAlias = Literal["fused", "linear", "static", "convolution", "half"]


@dataclass(frozen=True)
class Variant:
    """One row of the table. `how` is its line in the report. `make(inputs, target, keep)` writes
    the graph `target`, with the operators named in `keep` in float32. `method` says what it asks of
    a graph. `not_on`: CPU kind -> why it is not tried there."""

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

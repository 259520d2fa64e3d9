"""What a variant is, what it is made of, and the groups of operators that it quantises."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias

from onnxferry.scoring.engine import Array


@dataclass(frozen=True, eq=False)
class VariantInputs:
    """What variants are made of: the float32 graph `exported`, the same with fused operators
    (`optimised`, None where nothing could be fused), and real feeds to calibrate with: for each,
    input name -> array [batch, ...]."""

    exported: Path
    optimised: Path | None
    calibration: Sequence[Mapping[str, Array]] = ()

    @property
    def best(self) -> Path:
        """The float32 graph that int8 is made of."""
        return self.optimised or self.exported


Make: TypeAlias = Callable[[VariantInputs, Path, frozenset[str]], None]
Method: TypeAlias = Literal["fused", "linear", "static", "convolution", "half"]


@dataclass(frozen=True)
class Variant:
    """One row of the table. `make(inputs, target, keep)` writes the graph `target`; operators whose
    names are in `keep` stay in float32. `how` is its line in the report.

    `method` says what it asks of a graph, None for nothing. `not_on`: CPU kind -> why it is not
    tried there.
    """

    name: str
    precision: str
    how: str
    make: Make
    method: Method | None = None
    not_on: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class OperatorGroup:
    """Operators that belong together ("layer 3, output dense"): mixed precision keeps all of them
    in float32 or none."""

    name: str
    operators: frozenset[str]

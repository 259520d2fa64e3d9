"""What variants are, and what they are made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from onnxferry.scoring.engine import Array


@dataclass(frozen=True)
class Material:
    """What variants are made of: the float32 graph `exported`; the same with fused operators
    (`optimised`, None where nothing could be fused); and real inputs as the graph's feeds, to
    calibrate with."""

    exported: Path
    optimised: Path | None
    calibration: Sequence[Mapping[str, Array]] = ()

    @property
    def best(self) -> Path:
        """The float32 graph that int8 is made of."""
        return self.optimised or self.exported


@dataclass(frozen=True)
class Variant:
    """One way. `make(material, target, keep)` writes the graph `target`; the operators whose names
    are in `keep` stay in float32. `how` is its line in the report."""

    name: str
    precision: str
    how: str
    make: Callable[[Material, Path, frozenset[str]], None]


@dataclass(frozen=True)
class Group:
    """Operators of a graph that belong together ("layer 3, feed-forward output"): what mixed
    precision keeps or not."""

    name: str
    operators: frozenset[str]

"""The table of variants as prepare uses it: what is tried, when not, what mixed precision may keep,
and the fusions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from onnxferry.scripts.prepare.options import AUTO, Options
from onnxferry.system.errors import UsageError

if TYPE_CHECKING:  # they bring onnx, which may not be installed: the loaders say so
    from onnxferry.scripts.prepare.variants.fusion import Architecture, Fusion
    from onnxferry.scripts.prepare.variants.variant import OperatorGroup, Variant, VariantInputs

Fuse: TypeAlias = "Callable[[Path, Path, Architecture | None], Fusion]"


@dataclass(frozen=True)
class VariantTable:
    """`variants`: the first is the graph as exported, the others are held against it. The rest as
    in variants."""

    variants: Sequence[Variant]
    skipped: Callable[[Variant, str, VariantInputs], str | None]
    groups: Callable[[VariantInputs], Sequence[OperatorGroup]]
    fuse: Fuse

    def asked(self, options: Options) -> Sequence[Variant]:
        """Those that may be chosen. Raises UsageError for a name that is unknown, or of another
        precision."""
        kind = options.precision
        fits = [v for v in self.variants if kind in (AUTO, v.precision)]
        if options.variant is None:
            return fits
        known = ", ".join(v.name for v in self.variants)
        if options.variant not in known.split(", "):
            raise UsageError(f"--variant {options.variant}: choose one of {known}")
        found = [v for v in fits if v.name == options.variant]
        if not found:
            raise UsageError(
                f"--variant {options.variant}: is not {kind} (--precision); leave one of both out"
            )
        return found


from onnxferry.scripts.prepare import variants
from onnxferry.scripts.prepare.variants import fusion

SHIPPED = VariantTable(variants.VARIANTS, variants.skipped, variants.groups, fusion.fuse)

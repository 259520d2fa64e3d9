"""What became of a variant: the result that the table of the report has a row for."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxferry.scripts.prepare.selection.latency import Latency
from onnxferry.scripts.prepare.verification.evaluator import EvaluationResult

if TYPE_CHECKING:  # it brings onnx, which may not be installed: the loaders say so
    from onnxferry.scripts.prepare.variants.variant import Variant

CHOSEN, WITHIN, REJECTED, SKIPPED, FAILED = "chosen", "within", "rejected", "skipped", "failed"
"""FAILED is a defect: an exception while the variant was made or evaluated."""


@dataclass(frozen=True)
class CandidateResult:
    """One variant, and what became of it. `folder` is its model directory while it may still be
    chosen or measured; `kept` names the groups of operators that stay in float32 where its
    precision is mixed; `offered` tells that it may be chosen."""

    variant: Variant
    status: str
    reason: str = ""
    folder: Path | None = None
    size: int | None = None
    evaluation: EvaluationResult | None = None
    latency: Latency | None = None
    kept: tuple[str, ...] = ()
    offered: bool = True

    @property
    def name(self) -> str:
        """The variant's name."""
        return self.variant.name

    @property
    def model_dir(self) -> Path:
        """`folder` of a candidate that may be chosen. Raises ValueError for another."""
        if self.folder is None:
            raise ValueError(f"{self.name} has no folder any more: {self.status}")
        return self.folder

    @property
    def within(self) -> bool:
        """Whether it is accepted."""
        return self.status in (WITHIN, CHOSEN)

    @property
    def mean_ms(self) -> float:
        """The latency by which candidates are compared; infinity where it was not measured."""
        return self.latency.mean if self.latency else math.inf

    def discarded(self) -> CandidateResult:
        """The same without its folder, which is deleted."""
        if self.folder:
            shutil.rmtree(self.folder)
        return replace(self, folder=None)

    def record(self) -> dict[str, Any]:
        """Its row in the spec's table of variants. Nothing of what was asked is in it."""
        found, latency, variant = self.evaluation, self.latency, self.variant
        return {
            "name": variant.name,
            "how": variant.how,
            "precision": variant.precision,
            "status": self.status,
            "reason": self.reason,
            "size_bytes": self.size,
            "kept": list(self.kept),
            "agreement": found.difference["agreement"] if found else None,
            "max_abs": _finite(found.difference["max_abs"]) if found else None,
            "metrics": {n: round(v, 4) for n, v in found.metrics.items()} if found else {},
            "loss": round(found.drop, 6) if found else None,
            "ms_one": round(latency.one, 3) if latency else None,
            "ms_item": round(latency.item, 3) if latency and latency.item is not None else None,
        }


def _finite(value: float) -> float | None:
    """None in the place of an infinity, which JSON does not have."""
    return value if math.isfinite(value) else None

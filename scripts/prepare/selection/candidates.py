"""What became of a variant: a row of the report's table."""

from __future__ import annotations

import math
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.options import INT8
from onnxferry.scripts.prepare.selection.latency import Latency
from onnxferry.scripts.prepare.variants.variant import Variant
from onnxferry.scripts.prepare.verification.evaluator import EvaluationResult

# FAILED is a defect: an exception while the variant was made or evaluated
CHOSEN, WITHIN, REJECTED, SKIPPED, FAILED = "chosen", "within", "rejected", "skipped", "failed"
MADE = "made"  # and not evaluated yet


@dataclass(frozen=True)
class CandidateResult:
    """What became of a variant. `folder` is its model directory while that is needed; `kept` names
    the groups of operators in float32 in mixed precision; `selectable`: it may be chosen."""

    variant: Variant
    status: str
    reason: str = ""
    folder: Path | None = None
    size: int | None = None
    evaluation: EvaluationResult | None = None
    latency: Latency | None = None
    kept: tuple[str, ...] = ()
    selectable: bool = True

    @property
    def name(self) -> str:
        """The variant's."""
        return self.variant.name

    @property
    def model_dir(self) -> Path:
        """`folder` of one that may be chosen. Raises ValueError for another."""
        if self.folder is None:
            raise ValueError(f"{self.name} has no folder any more: {self.status}")
        return self.folder

    @property
    def within(self) -> bool:
        """Whether it is accepted."""
        return self.status in (WITHIN, CHOSEN)

    @property
    def slower(self) -> bool:
        """Whether it was measured and left out, since it is slower than one that is accepted."""
        return self.status == SKIPPED and self.latency is not None

    @property
    def may_be_mixed(self) -> bool:
        """Whether it is a rejected int8 variant."""
        return self.status == REJECTED and self.variant.precision == INT8

    @property
    def mean_ms(self) -> float:
        """The latency to compare by; infinity where it was not measured."""
        return self.latency.mean if self.latency else math.inf

    def discarded(self) -> CandidateResult:
        """The same without its folder, which is deleted."""
        if self.folder:
            shutil.rmtree(self.folder)
        return replace(self, folder=None)

    def record(self) -> dict[str, Any]:
        """Its row in the spec's table of variants, without any input or answer."""
        found, latency, variant = self.evaluation, self.latency, self.variant
        item = latency.item if latency else None
        max_abs = found.difference["max_abs"] if found else math.inf
        made = {"name": variant.name, "how": variant.how, "precision": variant.precision}
        became = {"status": self.status, "reason": self.reason, "size_bytes": self.size}
        return {
            **made,
            **became,
            "kept": list(self.kept),
            "agreement": found.difference["agreement"] if found else None,
            "max_abs": max_abs if math.isfinite(max_abs) else None,  # JSON has no infinity
            "metrics": {n: round(v, 4) for n, v in found.metrics.items()} if found else {},
            "loss": round(found.drop, 6) if found else None,
            "ms_one": round(latency.one, 3) if latency else None,
            "ms_item": None if item is None else round(item, 3),
        }

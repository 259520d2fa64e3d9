"""The same requests to the reference and to an ONNX model: how far raw outputs and answers are
apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring.engine import Array, Session
from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from onnxferry.scripts.metrics.agreement import AGREE
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.verification.formatting import (
    ChangedAnswer,
    format_answer,
    format_request,
)
from onnxferry.scripts.prepare.verification.reference import ReferenceModel, Scored, ScoredModel
from onnxferry.system.errors import PrepareError

# Samples that one model scores before the other: both keep their threads spinning, which slows the
# other down.
TURN = 16
_TURNS = {"fill-mask": 1}  # its raw outputs hold the vocabulary's scores for every token


@dataclass(frozen=True)
class SampleComparison:
    """One sample on both models: the largest and the sum of the absolute differences of its
    `numbers` raw outputs, and both final answers."""

    sample: Sample
    worst: float
    total: float
    numbers: int
    expected: Any
    got: Any
    agrees: bool


@dataclass(frozen=True)
class DifferenceBounds:
    """The largest difference of a raw output (None: any), and the least share of answers that are
    the reference's."""

    tolerance: float | None
    min_agreement: float

    def differs(self, max_abs: float) -> bool:
        """Whether a difference is above the tolerance, or not a number."""
        return self.tolerance is not None and not max_abs <= self.tolerance

    def disagrees(self, agreement: float) -> bool:
        """Whether too few answers agree."""
        return not agreement >= self.min_agreement

    def require(self, found: Mapping[str, Any], model: str, reference: str, summary: str) -> None:
        """Raise PrepareError, with the flag that would let it pass, when `found`, figures of
        `model` against `reference`, break a bound."""
        if self.differs(found["max_abs"]):
            more = f"by more than {self.tolerance:g} (--tolerance)"
            raise PrepareError(f"{model} differs from {reference} {more}, {summary}")
        if self.disagrees(found["agreement"]):
            least = f"fewer than {self.min_agreement:.0%} of the answers are those of {reference}"
            raise PrepareError(f"{least} (--min-agreement), {summary}")


def compare(
    reference: ReferenceModel, folder: Path, samples: Sequence[Sample]
) -> list[SampleComparison]:
    """Each of `samples` on the reference and on the model directory `folder`. Raises PrepareError
    where one of them cannot answer, or gives other shapes."""
    spec, graph = reference.spec, Session(folder / MODEL_FILE)
    model = ScoredModel.of_graph(spec, folder, graph)
    turn = _TURNS.get(spec.task, TURN)
    found: list[SampleComparison] = []
    for i in range(0, len(samples), turn):
        part = samples[i : i + turn]
        expected = [reference.score(sample, graph.batch_dependent) for sample in part]
        got = [model.score(sample) for sample in part]
        found += [_compare(spec, *triple) for triple in zip(part, expected, got, strict=True)]
    return found


def _compare(spec: ModelSpec, sample: Sample, theirs: Scored, ours: Scored) -> SampleComparison:
    (expected, wanted), (got, outputs) = theirs, ours
    shapes = [[np.shape(a) for a in arrays] for arrays in (wanted, outputs)]
    if shapes[0] != shapes[1]:
        what = f"the source model gives shapes {shapes[0]}, the ONNX model {shapes[1]}"
        raise PrepareError(f"{sample.where}: {what}")
    pairs = zip(wanted, outputs, strict=True)
    differences = [_difference(np.asarray(a), np.asarray(b)) for a, b in pairs]
    return SampleComparison(
        sample,
        max((float(d.max(initial=0)) for d in differences), default=0.0),
        sum(float(d.sum()) for d in differences),
        sum(d.size for d in differences),
        expected,
        got,
        AGREE[spec.task](expected, got, len(spec.labels)),
    )


def _difference(a: Array, b: Array) -> Array:
    """|a - b|; 0 where both are the same infinity, infinity where one is not a number. What holds
    no numbers (strings, maps) differs by 0 or infinity."""
    if a.dtype.kind not in "fiub":
        return np.where(a == b, 0.0, np.inf)
    with np.errstate(invalid="ignore"):
        raw = np.where(a == b, 0.0, np.abs(a.astype(np.float64) - b.astype(np.float64)))
    result: Array = np.nan_to_num(raw, nan=np.inf)
    return result


def figures(compared: Sequence[SampleComparison]) -> dict[str, Any]:
    """The measured difference, as it goes into the spec."""
    return {
        "inputs": len(compared),
        "max_abs": max(c.worst for c in compared),
        "mean_abs": sum(c.total for c in compared) / max(sum(c.numbers for c in compared), 1),
        "agreement": sum(c.agrees for c in compared) / len(compared),
    }


def changed(compared: Sequence[SampleComparison]) -> list[ChangedAnswer]:
    """The answers that changed."""
    return [
        ChangedAnswer(
            c.sample.where,
            format_request(c.sample.request),
            format_answer(c.expected),
            format_answer(c.got),
        )
        for c in compared
        if not c.agrees
    ]


def require_same(compared: Sequence[SampleComparison], bounds: DifferenceBounds) -> None:
    """Raise PrepareError when the exported graph, of which all variants are made, is not its
    source: with the figures, the worst input, and some of the answers that changed."""
    found, worst = figures(compared), max(compared, key=lambda c: c.worst)
    summary = (
        f"on {found['inputs']} inputs: maximum difference {found['max_abs']:.3g}, mean"
        f" {found['mean_abs']:.3g}, {found['agreement']:.1%} of the answers the same; worst input"
        f" {compared.index(worst)}: {worst.sample.where}"
    )
    if examples := "; ".join(map(str, changed(compared)[:3])):
        summary += f". Changed: {examples}"
    bounds.require(found, "the ONNX model", "its source", summary)

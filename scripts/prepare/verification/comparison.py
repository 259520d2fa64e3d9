"""The same requests to the reference and to an ONNX model: how far outputs and answers are
apart."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from onnxferry.scoring.engine import Array
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.metrics.agreement import AGREE
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.verification import formatting
from onnxferry.scripts.prepare.verification.graph_run import GraphRun
from onnxferry.scripts.prepare.verification.reference import ReferenceModel, Scored, ScoredModel
from onnxferry.system.errors import PrepareError

# Samples that one model scores before the other: both keep their threads spinning, which slows the
# other down.
TURN = 16
_TURNS = {"fill-mask": 1}  # its raw outputs hold the vocabulary's scores for every token


@dataclass(frozen=True)
class SampleComparison:
    """One sample on both models: the largest and the sum of the absolute differences of its
    `numbers` raw outputs, and both answers."""

    sample: Sample
    worst: float
    total: float
    numbers: int
    expected: Any
    got: Any
    agrees: bool


@dataclass(frozen=True)
class DifferenceBounds:
    """The largest difference of a raw output (None: any), and the least agreement."""

    tolerance: float | None
    min_agreement: float

    def broken(self, found: Mapping[str, Any]) -> str | None:
        """The sentence that says which bound the figures `found` break, or None."""
        on = f"on {found['inputs']} inputs"
        if self.tolerance is not None and not found["max_abs"] <= self.tolerance:  # NaN, too
            up_to = f"raw outputs differ by up to {found['max_abs']:.3g} {on}"
            return f"{up_to}, more than {self.tolerance:g} (--tolerance)"
        if not found["agreement"] >= self.min_agreement:
            same = f"{found['agreement']:.1%} of the answers {on} are the same"
            return f"{same}, fewer than {self.min_agreement:.0%} (--min-agreement)"
        return None


def compare(
    reference: ReferenceModel,
    graph: GraphRun,
    samples: Sequence[Sample],
    most_changed: float = math.inf,
) -> list[SampleComparison]:
    """`samples` on both models, only the first ones where more than `most_changed` answers differ.
    Raises PrepareError where shapes differ, ModelError where the graph cannot be loaded."""
    spec = reference.spec
    reference.ask(samples, graph.batch_dependent)
    graph.load()
    model = ScoredModel.of_graph(spec, graph)
    turn = _TURNS.get(spec.task, TURN)
    found: list[SampleComparison] = []
    for i in range(0, len(samples), turn):
        part = samples[i : i + turn]
        expected = [reference.score(sample, graph.batch_dependent) for sample in part]
        got = [model.score(sample) for sample in part]
        found += [_compare(spec, *triple) for triple in zip(part, expected, got, strict=True)]
        if sum(not compared.agrees for compared in found) > most_changed:
            break
    graph.let_go()
    return found


def _compare(spec: ModelSpec, sample: Sample, theirs: Scored, ours: Scored) -> SampleComparison:
    (expected, wanted), (got, outputs) = theirs, ours
    shapes = [[np.shape(a) for a in arrays] for arrays in (wanted, outputs)]
    if shapes[0] != shapes[1]:
        what = f"the source model gives shapes {shapes[0]}, the ONNX model {shapes[1]}"
        raise PrepareError(f"{sample.where}: {what}")
    pairs = zip(wanted, outputs, strict=True)
    differences = [_difference(np.asarray(a), np.asarray(b)) for a, b in pairs]
    worst = max((float(d.max(initial=0)) for d in differences), default=0.0)
    total = sum(float(d.sum()) for d in differences)
    numbers = sum(d.size for d in differences)
    agrees = AGREE[spec.task](expected, got, len(spec.labels))
    return SampleComparison(sample, worst, total, numbers, expected, got, agrees)


def _difference(a: Array, b: Array) -> Array:
    """|a - b|; infinity where one is not a number, or what holds no numbers differs."""
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


def changed(compared: Sequence[SampleComparison]) -> list[formatting.ChangedAnswer]:
    """The answers that changed."""
    return [_change(c) for c in compared if not c.agrees]


def _change(compared: SampleComparison) -> formatting.ChangedAnswer:
    sample = compared.sample
    answers = [formatting.format_answer(value) for value in (compared.expected, compared.got)]
    request = formatting.format_request(sample.request)
    return formatting.ChangedAnswer(sample.where, request, *answers)


def require_same(compared: Sequence[SampleComparison], bounds: DifferenceBounds) -> None:
    """Raise PrepareError with the figures when the exported graph is not its source."""
    found = figures(compared)
    if broken := bounds.broken(found):
        worst = max(compared, key=lambda c: c.worst)
        where = f"worst input {compared.index(worst)}: {worst.sample.where}"
        same = f"{found['agreement']:.1%} of the answers the same"
        changes = "; ".join(map(str, changed(compared)[:3])) or "none"
        means = f"mean difference {found['mean_abs']:.3g}, {same}; {where}. Changed: {changes}"
        raise PrepareError(f"the ONNX model is not its source: {broken}; {means}")

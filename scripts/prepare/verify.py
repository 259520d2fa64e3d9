"""The proof that the answers are still right: source model and ONNX model score the same requests, side by side.

Both sides go through the very task that will serve, so that what is compared is the raw outputs and the final answers,
and never two ways of preprocessing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from scoring import Scorer
from scoring.contract import MODEL_FILE, ModelSpec
from scoring.engine import Array, Session
from scoring.errors import ModelError
from scoring.tasks import build
from scripts.errors import PrepareError
from scripts.prepare.agreement import AGREE
from scripts.prepare.samples import Sample
from scripts.prepare.source import Run

TURN = 16  # samples that one side scores before the other: both keep their threads spinning, which slows a rival down
TOLERANCE = 1e-3  # of fp32: exporters reorder additions, and deep models add that up

Scored = tuple[Any, list[Array]]  # the final answer, and the raw outputs


@dataclass(frozen=True)
class Gate:
    """What is let through. `tolerance` None: the difference is recorded and not judged."""

    tolerance: float | None
    min_agreement: float


@dataclass(frozen=True)
class Outcome:
    """One sample on both sides: absolute differences of all raw outputs as one array, and both final answers."""

    sample: Sample
    differences: Array
    expected: Any
    got: Any
    agrees: bool

    @property
    def worst(self) -> float:
        return float(self.differences.max(initial=0.0))


class _Recorder(Session):
    """Any runner in the place of a graph; keeps the raw outputs of the request that it is serving."""

    def __init__(self, graph: Session, run: Run) -> None:
        self.inputs, self.outputs = graph.inputs, graph.outputs
        self._run = run
        self.taken: list[Array] = []

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        known = {t.name: np.dtype(t.dtype) for t in self.inputs}
        fed = {name: value.astype(known[name], copy=False) for name, value in feeds.items() if name in known}
        result = self._run(fed, [t.name for t in self.outputs])
        self.taken += result
        return result


class Side:
    """One of the two models behind its scorer."""

    def __init__(self, spec: ModelSpec, folder: Path, graph: Session, run: Run) -> None:
        self._recorder = _Recorder(graph, run)
        try:
            self._scorer = Scorer(spec, build(spec, self._recorder, folder))
        except (ModelError, AttributeError, KeyError, TypeError, ValueError) as e:
            raise PrepareError(f"the model does not fit task '{spec.task}': {e}") from e

    def score(self, sample: Sample) -> Scored:
        """The final answer and the raw outputs."""
        self._recorder.taken = []
        response = self._scorer.handle(sample.request)
        if response.status != 200:
            raise PrepareError(f"{sample.where}: status {response.status}: {response.body.decode()}")
        return json.loads(response.body), self._recorder.taken


def verify(spec: ModelSpec, folder: Path, source: Run, samples: Sequence[Sample], gate: Gate) -> dict[str, Any]:
    """The measured difference of `folder`'s model from `source`, as it goes into the spec.

    Raises PrepareError with the figures when they do not pass `gate`.
    """
    graph = Session(folder / MODEL_FILE)
    ours = Side(spec, folder, graph, lambda feeds, _: graph.run(feeds))
    theirs = Side(spec, folder, graph, source)
    outcomes = [o for i in range(0, len(samples), TURN) for o in _turn(spec, samples[i : i + TURN], theirs, ours)]
    figures = _figures(outcomes, gate)
    _judge(figures, outcomes, gate)
    return figures


def _turn(spec: ModelSpec, samples: Sequence[Sample], theirs: Side, ours: Side) -> list[Outcome]:
    expected = [theirs.score(sample) for sample in samples]
    got = [ours.score(sample) for sample in samples]
    return [_compare(spec, *triple) for triple in zip(samples, expected, got, strict=True)]


def _compare(spec: ModelSpec, sample: Sample, theirs: Scored, ours: Scored) -> Outcome:
    (expected, wanted), (got, outputs) = theirs, ours
    shapes = [[a.shape for a in side] for side in (wanted, outputs)]
    if shapes[0] != shapes[1]:
        raise PrepareError(f"{sample.where}: the source model gives shapes {shapes[0]}, the ONNX model {shapes[1]}")
    differences = [_difference(a, b) for a, b in zip(wanted, outputs, strict=True)]
    agrees = AGREE[spec.task](expected, got, len(spec.labels))
    return Outcome(sample, np.concatenate([d.ravel() for d in differences]), expected, got, agrees)


def _difference(a: Array, b: Array) -> Array:
    """|a - b|; 0 where both are the same infinity, infinity where one is not a number."""
    with np.errstate(invalid="ignore"):
        raw = np.where(a == b, 0.0, np.abs(a.astype(np.float64) - b.astype(np.float64)))
    result: Array = np.nan_to_num(raw, nan=np.inf)
    return result


def _figures(outcomes: Sequence[Outcome], gate: Gate) -> dict[str, Any]:
    every = np.concatenate([o.differences for o in outcomes])
    return {
        "inputs": len(outcomes),
        "max_abs": float(every.max()),
        "mean_abs": float(every.mean()),
        "agreement": sum(o.agrees for o in outcomes) / len(outcomes),
        "tolerance": gate.tolerance,
        "min_agreement": gate.min_agreement,
    }


def _judge(figures: Mapping[str, Any], outcomes: Sequence[Outcome], gate: Gate) -> None:
    """Raise PrepareError that names the figure, the worst input, and the flag that would let it pass."""
    worst = max(outcomes, key=lambda o: o.worst)
    summary = (
        f"on {figures['inputs']} inputs: maximum difference {figures['max_abs']:.3g}, mean {figures['mean_abs']:.3g}, "
        f"{figures['agreement']:.1%} of the answers the same; worst input {outcomes.index(worst)}: {worst.sample.where}"
    )
    if gate.tolerance is not None and not figures["max_abs"] <= gate.tolerance:
        raise PrepareError(
            f"the ONNX model differs from its source by more than {gate.tolerance:g} (--tolerance), {summary}"
        )
    if not figures["agreement"] >= gate.min_agreement:
        raise PrepareError(
            f"fewer than {gate.min_agreement:.0%} of the answers are the source model's (--min-agreement), {summary}. "
            f"Changed: {_changed(outcomes)}"
        )


def _changed(outcomes: Sequence[Outcome]) -> str:
    """The first few answers that changed."""
    changed = [o for o in outcomes if not o.agrees][:3]
    return "; ".join(f"{o.sample.where}: {_short(o.expected)} became {_short(o.got)}" for o in changed)


def _short(answer: Any) -> str:
    text = json.dumps(answer, ensure_ascii=False)
    return text if len(text) <= 80 else text[:77] + "..."

"""The proof that the answers are still right: source model and ONNX model score the same requests,
side by side.

Both sides go through the very task that will serve, so that what is compared is the raw outputs and
the final answers, and never two ways of preprocessing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.scoring import Scorer
from onnxferry.scoring.engine import Array, Runner, Session
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import MODEL_FILE, ModelSpec
from onnxferry.scoring.tasks import build
from onnxferry.scripts.metrics.agreement import AGREE
from onnxferry.scripts.prepare.sources.source import Run
from onnxferry.scripts.prepare.verification.samples import Sample
from onnxferry.system.errors import PrepareError

_TURNS = {"fill-mask": 1}  # its raw outputs hold the vocabulary's scores for every token
# samples that one side scores before the other: both keep their threads spinning, which slows a
# rival down
TURN = 16
KEPT = 512 * 2**20  # bytes of raw outputs of the source model that are kept for the next variant

Scored = tuple[Any, list[Array]]  # the final answer, and the raw outputs


@dataclass(frozen=True)
class Outcome:
    """One sample on both sides: the largest and the sum of the absolute differences of its
    `numbers` raw outputs, and both final answers."""

    sample: Sample
    worst: float
    total: float
    numbers: int
    expected: Any
    got: Any
    agrees: bool


class _Recorder:
    """A Runner that answers by `run` in the place of a graph; keeps the raw outputs of the request.
    `batch_dependent` as of the graph that it is compared with, so that both sides pad alike."""

    def __init__(self, graph: Runner, run: Run, batch_dependent: bool) -> None:
        self.inputs, self.outputs, self.batch_dependent = (
            graph.inputs,
            graph.outputs,
            batch_dependent,
        )
        self._run = run
        self.taken: list[Array] = []

    def run_each(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
        return map(self.run, batches)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        known = {t.name: np.dtype(t.dtype) for t in self.inputs}
        fed = {
            name: value.astype(known[name], copy=False)
            for name, value in feeds.items()
            if name in known
        }
        result = self._run(fed, [t.name for t in self.outputs])
        self.taken += result
        return result


class Side:
    """One of the two models behind its scorer."""

    def __init__(self, spec: ModelSpec, folder: Path, recorder: _Recorder) -> None:
        self._recorder = recorder
        try:
            self._scorer = Scorer(spec, build(spec, self._recorder, folder))
        except (ModelError, AttributeError, KeyError, TypeError, ValueError) as e:
            raise PrepareError(f"the model does not fit task '{spec.task}': {e}") from e

    def score(self, sample: Sample) -> Scored:
        """The final answer and the raw outputs."""
        self._recorder.taken = []
        response = self._scorer.handle(sample.request)
        if response.status != 200:
            raise PrepareError(
                f"{sample.where}: status {response.status}: {response.body.decode()}"
            )
        return json.loads(response.body), self._recorder.taken


class Truth:
    """The source model over the tokenizer and settings of the model directory `folder`, asked once
    a sample: every variant is held against the same answers. `run` None: the directory's own graph
    is the source."""

    def __init__(self, spec: ModelSpec, folder: Path, run: Run | None) -> None:
        self.spec, self._folder, self._graph = spec, folder, Session(folder / MODEL_FILE)
        self._run: Run = run or (lambda feeds, _: self._graph.run(feeds))
        self._sides: dict[bool, Side] = {}
        self._known: dict[tuple[Sample, bool], Scored] = {}
        self._room = KEPT

    def score(self, sample: Sample, batch_dependent: bool) -> Scored:
        key = (sample, batch_dependent)
        if key in self._known:
            return self._known[key]
        if batch_dependent not in self._sides:
            recorder = _Recorder(self._graph, self._run, batch_dependent)
            self._sides[batch_dependent] = Side(self.spec, self._folder, recorder)
        scored = self._sides[batch_dependent].score(sample)
        self._room -= sum(array.nbytes for array in scored[1])
        if self._room > 0:
            self._known[key] = scored
        return scored

    def feeds(self, samples: Sequence[Sample]) -> list[Mapping[str, Array]]:
        """What the graph is fed for `samples`: real inputs to calibrate with."""
        taken: list[Mapping[str, Array]] = []

        def run(feeds: Mapping[str, Array], outputs: Sequence[str]) -> list[Array]:
            taken.append(feeds)
            return self._graph.run(feeds)

        side = Side(self.spec, self._folder, _Recorder(self._graph, run, False))
        for sample in samples:
            side.score(sample)
        return taken


def measure(truth: Truth, folder: Path, samples: Sequence[Sample]) -> list[Outcome]:
    """Each of `samples` on both sides. Raises PrepareError where a side cannot answer, or gives
    other shapes."""
    spec, graph = truth.spec, Session(folder / MODEL_FILE)
    ours = Side(
        spec, folder, _Recorder(graph, lambda feeds, _: graph.run(feeds), graph.batch_dependent)
    )
    turn = _TURNS.get(spec.task, TURN)
    found: list[Outcome] = []
    for i in range(0, len(samples), turn):
        part = samples[i : i + turn]
        expected = [truth.score(sample, graph.batch_dependent) for sample in part]
        got = [ours.score(sample) for sample in part]
        found += [_compare(spec, *triple) for triple in zip(part, expected, got, strict=True)]
    return found


def _compare(spec: ModelSpec, sample: Sample, theirs: Scored, ours: Scored) -> Outcome:
    (expected, wanted), (got, outputs) = theirs, ours
    shapes = [[np.shape(a) for a in side] for side in (wanted, outputs)]
    if shapes[0] != shapes[1]:
        raise PrepareError(
            f"{sample.where}: the source model gives shapes {shapes[0]}, the ONNX model {shapes[1]}"
        )
    found = [
        _difference(np.asarray(a), np.asarray(b)) for a, b in zip(wanted, outputs, strict=True)
    ]
    worst, total = (
        max((float(d.max(initial=0)) for d in found), default=0.0),
        sum(float(d.sum()) for d in found),
    )
    agrees = AGREE[spec.task](expected, got, len(spec.labels))
    return Outcome(sample, worst, total, sum(d.size for d in found), expected, got, agrees)


def _difference(a: Array, b: Array) -> Array:
    """|a - b|; 0 where both are the same infinity, infinity where one is not a number. What holds
    no numbers (strings, maps) is equal, which is 0, or differs without bound."""
    if a.dtype.kind not in "fiub":
        return np.where(a == b, 0.0, np.inf)
    with np.errstate(invalid="ignore"):
        raw = np.where(a == b, 0.0, np.abs(a.astype(np.float64) - b.astype(np.float64)))
    result: Array = np.nan_to_num(raw, nan=np.inf)
    return result


def figures(outcomes: Sequence[Outcome]) -> dict[str, Any]:
    """The measured difference, as it goes into the spec."""
    return {
        "inputs": len(outcomes),
        "max_abs": max(o.worst for o in outcomes),
        "mean_abs": sum(o.total for o in outcomes) / max(sum(o.numbers for o in outcomes), 1),
        "agreement": sum(o.agrees for o in outcomes) / len(outcomes),
    }


def summary(outcomes: Sequence[Outcome]) -> str:
    """The figures in words, and the input where they are worst."""
    found, worst = figures(outcomes), max(outcomes, key=lambda o: o.worst)
    return (
        f"on {found['inputs']} inputs: maximum difference {found['max_abs']:.3g}, mean"
        f" {found['mean_abs']:.3g}, {found['agreement']:.1%} of the answers the same; worst input"
        f" {outcomes.index(worst)}: {worst.sample.where}"
    )

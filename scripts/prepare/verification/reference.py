"""The source model and ONNX models behind the task that will serve, so that only they differ."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from onnxferry.scoring import Request, Scorer
from onnxferry.scoring.engine import Array
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks import build
from onnxferry.scripts.prepare.sources.source import Feeds, RunModel
from onnxferry.scripts.prepare.sources.user_inputs import Sample
from onnxferry.scripts.prepare.verification.asking import answer
from onnxferry.scripts.prepare.verification.graph_run import GraphRun
from onnxferry.system.errors import PrepareError

CACHED = 512 * 2**20  # bytes of raw outputs of the reference that are kept for the next variant
Scored: TypeAlias = tuple[Any, list[Array]]
"""The final answer as JSON data, and the raw outputs."""


class EnoughError(Exception):
    """What a request is fed is known."""


class _RecordingRunner:
    """A Runner with the inputs and outputs of `spec` that answers by `run` and keeps the raw
    outputs. `batch_dependent` as the graph to compare with: both pad alike."""

    def __init__(self, spec: ModelSpec, run: RunModel, batch_dependent: bool) -> None:
        self.inputs, self.outputs = spec.inputs, spec.outputs
        self.batch_dependent = batch_dependent
        self.parallel_runs, self.shared_runs = 1, False
        self._run = run
        self.recorded: list[Array] = []

    def run(self, feeds: Feeds) -> list[Array]:
        dtypes = {t.name: np.dtype(t.dtype) for t in self.inputs}
        fed = {n: a.astype(dtypes[n], copy=False) for n, a in feeds.items() if n in dtypes}
        outputs = self._run(fed, [t.name for t in self.outputs])
        self.recorded += outputs
        return outputs


class ScoredModel:
    """A model behind its scorer. Raises PrepareError where it does not fit the task."""

    def __init__(self, spec: ModelSpec, folder: Path, runner: _RecordingRunner) -> None:
        self._runner = runner
        try:
            self._scorer = Scorer(spec, build(spec, runner, folder))
        except (ModelError, AttributeError, KeyError, TypeError, ValueError) as e:
            raise PrepareError(f"the model does not fit task '{spec.task}': {e}") from e

    @classmethod
    def of_graph(cls, spec: ModelSpec, graph: GraphRun) -> ScoredModel:
        """The graph of a model directory, with that directory's tokenizer."""
        return cls(spec, graph.folder, _RecordingRunner(spec, graph, graph.batch_dependent))

    def score(self, sample: Sample) -> Scored:
        """The final answer and the raw outputs."""
        self._runner.recorded = []
        return self.answer(sample.request, sample.where), self._runner.recorded

    def answer(self, request: Request, where: str) -> Any:
        """The final answer as JSON data. Raises PrepareError that says `where` it is refused."""
        return answer(self._scorer, request, where)


class ReferenceModel:
    """The source model with the tokenizer and settings of `graph`, asked once a sample. `run` None:
    that graph itself, which is in memory only while it is asked."""

    def __init__(self, spec: ModelSpec, graph: GraphRun, run: RunModel | None) -> None:
        self.spec, self.graph, self._run = spec, graph, run
        self._models: dict[bool, ScoredModel] = {}
        self._cache: dict[tuple[Sample, bool], Scored] = {}
        self._bytes_left = CACHED

    def let_go(self) -> None:
        """Drop the source model: the graph, which was verified, answers what is not known yet."""
        self._run = None
        self._models.clear()

    def ask(self, samples: Sequence[Sample], batch_dependent: bool) -> None:
        """Score `samples` beforehand, as many as are kept, so that no other model need be in memory
        with the graph."""
        for sample in samples:
            if self._bytes_left <= 0:
                break
            self.score(sample, batch_dependent)
        self.graph.let_go()

    def score(self, sample: Sample, batch_dependent: bool) -> Scored:
        """As ScoredModel.score, padded as a graph that is `batch_dependent` or not."""
        key = (sample, batch_dependent)
        if key in self._cache:
            return self._cache[key]
        if batch_dependent not in self._models:
            run = self._run or self.graph
            self._models[batch_dependent] = self._model(run, batch_dependent)
        scored = self._models[batch_dependent].score(sample)
        self._bytes_left -= sum(array.nbytes for array in scored[1])
        if self._bytes_left > 0:
            self._cache[key] = scored
        return scored

    def feeds(self, samples: Sequence[Sample]) -> list[Feeds]:
        """What the graph is fed for `samples`, to calibrate with; of one that it has not answered,
        the first run's, so that it need not run."""
        fed: list[Feeds] = []

        def run(feeds: Feeds, outputs: Sequence[str]) -> list[Array]:
            fed.append(feeds)
            if not self.graph.knows(feeds):
                raise EnoughError
            return self.graph(feeds, outputs)

        model = self._model(run, batch_dependent=False)
        for sample in samples:
            with contextlib.suppress(PrepareError):  # EnoughError becomes one
                model.score(sample)
        return fed

    def _model(self, run: RunModel, batch_dependent: bool) -> ScoredModel:
        runner = _RecordingRunner(self.spec, run, batch_dependent)
        return ScoredModel(self.spec, self.graph.folder, runner)

"""Which requests a model's task takes, told without running the graph: a short model has no room
for every built-in one."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

from onnxferry.scoring import ScoringError, codecs
from onnxferry.scoring.engine import Array
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks import Task, build
from onnxferry.scripts.prepare.sources.source import Feeds
from onnxferry.scripts.prepare.sources.user_inputs import Sample

Shape: TypeAlias = tuple[tuple[int, ...], ...]
"""Of every input of the first run that a request makes."""


class _Reached(Exception):
    """The graph would run now."""

    def __init__(self, feeds: Feeds) -> None:
        super().__init__()
        self.shape: Shape = tuple(array.shape for array in feeds.values())


class _NoGraph:
    """A Runner with the inputs and outputs of `spec`."""

    batch_dependent = False
    parallel_runs, shared_runs = 1, False

    def __init__(self, spec: ModelSpec) -> None:
        self.inputs, self.outputs = spec.inputs, spec.outputs

    def run(self, feeds: Feeds) -> list[Array]:
        raise _Reached(feeds)


def accepted(spec: ModelSpec, folder: Path, samples: Sequence[Sample]) -> dict[Sample, Shape]:
    """Those of `samples` that the task of the model directory `folder` takes; all where it cannot
    be made, which whoever loads it is told."""
    try:
        task = build(spec, _NoGraph(spec), folder)
    except (ScoringError, AttributeError, KeyError, TypeError, ValueError):
        return dict.fromkeys(samples, ())
    shapes = ((sample, _shape(task, sample)) for sample in samples)
    return {sample: shape for sample, shape in shapes if shape is not None}


def _shape(task: Task, sample: Sample) -> Shape | None:
    request = sample.request
    try:
        task.answer(codecs.decode(request.body, request.content_type, task.accepts))
    except _Reached as reached:
        return reached.shape
    except ScoringError:
        return None
    return ()

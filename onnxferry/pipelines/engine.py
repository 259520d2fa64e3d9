"""DeepSparse's Engine: raw arrays in, raw arrays out, by ONNX Runtime."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from onnxferry.pipelines import context as contexts
from onnxferry.pipelines import engine_inputs
from onnxferry.pipelines.benchmark import BenchmarkResults, measure
from onnxferry.pipelines.context import Context, Scheduler
from onnxferry.pipelines.errors import InvalidInput, PipelineError
from onnxferry.scoring import cpu
from onnxferry.scoring.engine import Array, Runner, Session, repeated
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.scorer import located


class Engine:
    """One graph. Safe to call from several threads at once.

    `batch_size` None or 0: any number of rows. `num_streams`: how many runs the caller will have
    under way at a time, with scheduler "multi_stream" or "elastic"."""

    def __init__(  # noqa: PLR0913, PLR0917 - DeepSparse's
        self,
        model: str | Path,
        batch_size: int | None = 1,
        num_cores: int | None = None,
        num_streams: int | None = None,
        scheduler: Scheduler | str | None = None,
        input_shapes: Sequence[Sequence[int]] | None = None,
        *,
        context: Context | None = None,
        options: EngineOptions | None = None,
    ) -> None:
        """`model`: an .onnx file, or a folder with a model.onnx. `options`: ONNX Runtime's, in
        place of what cores, streams and scheduler say. Raises ModelError for a file that
        is absent or refused, PipelineError for arguments that do not fit the graph."""
        _, path = located(Path(model))
        options = options or _options(num_cores, num_streams, scheduler, context)
        session = Session(path, options)
        runner = context.shared(session) if context else session
        self._set(runner, path, batch_size or None, input_shapes)
        self.scheduler = context.scheduler if context else contexts.chosen(scheduler)
        self.num_cores = context.num_cores if context else num_cores or cpu.available()
        self.num_streams = context.num_streams if context else options.resolved().parallel_runs

    def _set(
        self,
        runner: Runner,
        path: Path,
        batch_size: int | None,
        shapes: Sequence[Sequence[int]] | None,
    ) -> None:
        self.runner, self._path, self.batch_size = runner, path, batch_size
        self._inputs = engine_inputs.resolved(runner.inputs, batch_size, shapes)

    @property
    def model_path(self) -> str:
        """The graph's file."""
        return os.fspath(self._path)

    @property
    def input_names(self) -> list[str]:
        """In the graph's order."""
        return [tensor.name for tensor in self._inputs]

    @property
    def input_shapes(self) -> list[tuple[int | str, ...]]:
        """In the graph's order; a size that it leaves open by its name."""
        return [tensor.shape for tensor in self._inputs]

    @property
    def output_names(self) -> list[str]:
        """In the graph's order."""
        return [tensor.name for tensor in self.runner.outputs]

    @property
    def output_shapes(self) -> list[tuple[int | str, ...]]:
        """In the graph's order, as the graph has them."""
        return [tensor.shape for tensor in self.runner.outputs]

    @property
    def cpu_avx_type(self) -> str:
        """The kind of this machine's CPU, of scoring.cpu.KINDS."""
        return cpu.kind() or "unknown"

    @property
    def cpu_vnni(self) -> bool:
        """Whether the CPU has VNNI's instructions."""
        return "vnni" in self.cpu_avx_type

    def __call__(self, inp: Any, val_inp: bool = True) -> list[Array]:
        """See run."""
        return self.run(inp, val_inp)

    def run(self, inp: Any, val_inp: bool = True) -> list[Array]:
        """The outputs, in the graph's order, for a list of arrays in the order of the inputs, or a
        dict by name. Raises InvalidInput for other shapes or dtypes unless val_inp is False."""
        if val_inp:
            return self.runner.run(engine_inputs.feeds(self._inputs, inp))
        named = inp if isinstance(inp, dict) else dict(zip(self.input_names, inp, strict=True))
        return self.runner.run(named)

    def timed_run(self, inp: Any, val_inp: bool = True) -> tuple[list[Array], float]:
        """The outputs, and the seconds of the run."""
        start = time.perf_counter()
        return self.run(inp, val_inp), time.perf_counter() - start

    def mapped_run(self, inp: Any, val_inp: bool = True) -> dict[str, Array]:
        """The outputs by name."""
        return dict(zip(self.output_names, self.run(inp, val_inp), strict=True))

    def batched_run(self, inp: Sequence[Array]) -> list[Array]:
        """The outputs for arrays of any number of rows, run batch_size at a time. Copies of the
        last row fill the last batch."""
        size, count = self.batch_size or len(inp[0]), len(inp[0])
        if any(len(array) != count for array in inp):
            raise InvalidInput(
                f"the inputs have {sorted({len(a) for a in inp})} rows, not one number"
            )
        parts = []
        for start in range(0, count, size):
            cut = {str(i): array[start : start + size] for i, array in enumerate(inp)}
            parts.append(self.run([*repeated(cut, size).values()]))
        return [np.concatenate(arrays)[:count] for arrays in zip(*parts, strict=True)]

    def generate_random_inputs(self) -> list[Array]:
        """Arrays that fit, the same each time."""
        return engine_inputs.random_inputs(self._inputs)

    def benchmark(
        self, inp: Any, num_iterations: int = 20, num_warmup_iterations: int = 5
    ) -> BenchmarkResults:
        """The times of so many runs on `inp`, after a warm-up."""
        return measure(self.run, [inp], self.batch_size or 1, num_iterations, num_warmup_iterations)

    def benchmark_loader(
        self, loader: Iterable[Any], num_iterations: int = 20, num_warmup_iterations: int = 5
    ) -> BenchmarkResults:
        """As `benchmark`, on the inputs that `loader` gives, one after the other, and again."""
        inputs = list(loader)
        return measure(
            self.run, inputs, self.batch_size or 1, num_iterations, num_warmup_iterations
        )

    def __repr__(self) -> str:
        size = f"batch_size={self.batch_size}, num_cores={self.num_cores}"
        return f"Engine({self.model_path!r}, {size}, num_streams={self.num_streams})"


def _options(
    num_cores: int | None,
    num_streams: int | None,
    scheduler: Scheduler | str | None,
    context: Context | None,
) -> EngineOptions:
    if context is None:
        return contexts.options(num_cores, num_streams, scheduler)
    if num_cores and num_cores != context.num_cores:
        what = f"num_cores is {num_cores}, and the context's is {context.num_cores}"
        raise PipelineError(f"{what}; leave one of them out")
    return context.engine_options


class MultiModelEngine(Engine):
    """An Engine in a Context."""

    def __init__(
        self,
        model: str | Path,
        batch_size: int | None,
        context: Context,
        input_shapes: Sequence[Sequence[int]] | None = None,
    ) -> None:
        """See Engine."""
        super().__init__(model, batch_size, input_shapes=input_shapes, context=context)

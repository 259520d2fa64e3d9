"""The ONNX Runtime session: the one place that imports onnxruntime.

From 1.29 on onnxruntime tells its maker about each session (file and graph names, hashes) unless it is told not to
before it is imported, so that is done here; ORT_DISABLE_TELEMETRY=0 in the host's environment allows it.

One run on all cores answers one text soonest; many small runs are done soonest one a core. Measured on two cores, 128
texts of mixed length on MiniLM: 118 ms against 193 ms in int8, 286 ms against 312 ms in fp32. ONNX Runtime fixes the
threads of a run when it loads the graph, so a graph that may have many runs is loaded twice: see `open_lanes`.
"""

from __future__ import annotations

import itertools
import mmap
import os
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from scoring import trace
from scoring.contract import Tensor
from scoring.errors import ModelError

Array: TypeAlias = NDArray[Any]  # shape and dtype are said where it matters
LANES = 128 * 2**20  # bytes of the largest model.onnx that is loaded a second time

_DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16",
    "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(int16)": "int16", "tensor(int8)": "int8",
    "tensor(uint64)": "uint64", "tensor(uint32)": "uint32", "tensor(uint16)": "uint16", "tensor(uint8)": "uint8",
    "tensor(bool)": "bool", "tensor(string)": "str",
}  # fmt: skip


class Session:
    """One loaded graph. `run` and `run_each` may be called from several threads at once.

    `inputs` and `outputs` describe the graph: name, numpy dtype and shape. `mixes_rows` tells that a row's result
    depends on the other rows of its run, since the graph takes a scale for its activations from all of them.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load `path` with `threads` threads an operator (default: the CPUs that this process may use).

        Raises ModelError when the file is absent or ONNX Runtime refuses it.
        """
        if not path.is_file():
            raise ModelError(f"{path}: no such file; a model directory holds its graph under this name")
        self._path, self._threads = path, threads or _cpus()
        self._session = _load(path, self._threads)
        self._lane: ort.InferenceSession | None = None
        self._pool = ThreadPoolExecutor(self._threads, "scoring-run")  # it starts threads when it needs them
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())
        self.mixes_rows = _holds(path, b"DynamicQuantize")

    def open_lanes(self) -> None:
        """Let `run_each` have several runs in flight, one a thread. The weights are then in memory twice, so that a
        graph of more than LANES bytes is left as it is."""
        if self._threads > 1 and self._path.stat().st_size <= LANES:
            self._lane = _load(self._path, 1)

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The graph's outputs for `feeds`, in the order of `outputs`; feeds that the graph does not take are left out,
        the others are cast to the dtype that it declares."""
        fed = self._fed(feeds)
        trace.switch("engine")
        result: list[Array] = self._session.run(None, fed)
        trace.switch("postprocess")
        return result

    def run_each(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
        """The outputs for each of `batches`, in their order, with a few runs in flight where lanes are open."""
        rest = iter(batches)
        ahead = list(itertools.islice(rest, 2))
        if self._lane is None or len(ahead) < 2:
            yield from map(self.run, itertools.chain(ahead, rest))
        else:
            yield from self._in_flight(self._lane, itertools.chain(ahead, rest))

    def _in_flight(self, lane: ort.InferenceSession, batches: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
        flying: deque[Future[list[Array]]] = deque()
        try:
            for feeds in batches:
                flying.append(self._pool.submit(lane.run, None, self._fed(feeds)))
                if len(flying) >= 2 * self._threads:
                    yield _landed(flying)
            while flying:
                yield _landed(flying)
        finally:
            for future in flying:
                future.cancel()

    def _fed(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        # Strings stay the objects that they are: numpy's own are all as long as the longest.
        known = {t.name: np.dtype(object if t.dtype == "str" else t.dtype) for t in self.inputs}
        return {name: value.astype(known[name], copy=False) for name, value in feeds.items() if name in known}

    def expect_inputs(self, allowed: set[str]) -> None:
        """Raise ModelError if the graph needs an input that its task does not make."""
        if extra := [t.name for t in self.inputs if t.name not in allowed]:
            raise ModelError(
                f"model.onnx needs input(s) {', '.join(extra)}, which its task does not make "
                f"(it makes {', '.join(sorted(allowed))}); is 'task' in model_spec.json right?"
            )


def _load(path: Path, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime raises one class an error code, with no common base but Exception
        raise ModelError(f"{path}: onnxruntime {ort.__version__} cannot load it: {e}") from e


def _landed(flying: deque[Future[list[Array]]]) -> list[Array]:
    trace.switch("engine")
    result = flying.popleft().result()
    trace.switch("postprocess")
    return result


def _holds(path: Path, operator: bytes) -> bool:
    """Whether the graph names an operator that begins with `operator`; names stand in the file as they are."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(operator) >= 0


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tensor(node: ort.NodeArg) -> Tensor:
    shape = tuple(d if isinstance(d, int | str) else "?" for d in node.shape or ())
    return Tensor(node.name, _DTYPES.get(node.type, node.type), shape)

"""The ONNX Runtime session: the one place that imports onnxruntime.

From 1.29 on onnxruntime tells its maker about each session (file and graph names, hashes) unless it
is told not to before it is imported, so that is done here; ORT_DISABLE_TELEMETRY=0 in the host's
environment allows it.

What a session may use of the host (threads, runs in flight, memory) is said in
scoring/engine_options.py.
"""

from __future__ import annotations

import ctypes
import itertools
import mmap
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from onnxferry.scoring import timing
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import Tensor

Array: TypeAlias = NDArray[Any]  # shape and dtype are said where it matters

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint64)": "uint64",
    "tensor(uint32)": "uint32",
    "tensor(uint16)": "uint16",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
}


class Runner(Protocol):
    """What a task is built on: a graph, or what answers in its place.

    `inputs` and `outputs` say the name, numpy dtype and shape of each tensor. `batch_dependent`
    says whether a row's result depends on the other rows of its run, since the graph takes a scale
    for its activations from all of them.
    """

    @property
    def inputs(self) -> tuple[Tensor, ...]: ...

    @property
    def outputs(self) -> tuple[Tensor, ...]: ...

    @property
    def batch_dependent(self) -> bool: ...

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs for `feeds`, in the order of `outputs`; feeds that are no input are left out,
        the others are cast to the dtype that their input declares."""

    def run_each(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
        """The outputs for each of `batches`, in their order."""


class Session:
    """A Runner: one graph in ONNX Runtime. Its methods may be called from several threads at
    once."""

    def __init__(self, path: Path, resources: EngineOptions = EngineOptions()) -> None:  # noqa: B008 (frozen)
        """Load `path`, with what `resources` leaves open chosen for this host.

        Raises ModelError when the file is absent or ONNX Runtime refuses it.
        """
        if not path.is_file():
            raise ModelError(
                f"{path}: no such file; a model directory holds its graph under this name"
            )
        self._path, self._resources = path, resources.resolved()
        self._opening = threading.Lock()
        self._open()
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())
        self.batch_dependent = _holds(path, b"DynamicQuantize")

    def _open(self) -> None:
        self._session = _load(self._path, self._resources)
        # it starts threads when it needs them
        self._pool = ThreadPoolExecutor(self._resources.runs, "scoring-run")
        self._process = os.getpid()

    def _own(self) -> ort.InferenceSession:
        """The session of this process. A fork takes none of its parent's threads along, and a run
        that waits for them would wait for ever: so a process that was forked after the load
        (gunicorn's --preload) opens its own. The parent's is never freed, which would wait for its
        threads, too."""
        if self._process != os.getpid():
            with self._opening:
                if self._process != os.getpid():
                    ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
                    self._open()
        return self._session

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The graph's outputs for `feeds`, in the order of `outputs`; feeds that the graph does not
        take are left out, the others are cast to the dtype that it declares."""
        fed = self._fed(feeds)
        timing.switch("engine")
        result: list[Array] = self._own().run(None, fed)
        timing.switch("postprocess")
        return result

    def run_each(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
        """The outputs for each of `batches`, in their order, with a few runs in flight."""
        rest = iter(batches)
        ahead = list(itertools.islice(rest, 2))
        if len(ahead) < 2 or self._resources.runs == 1:
            yield from map(self.run, itertools.chain(ahead, rest))
        else:
            yield from self._in_flight(itertools.chain(ahead, rest))

    def _in_flight(self, batches: Iterable[Mapping[str, Array]]) -> Iterator[list[Array]]:
        flying: deque[Future[list[Array]]] = deque()
        session = self._own()
        try:
            for feeds in batches:
                flying.append(self._pool.submit(session.run, None, self._fed(feeds)))
                if len(flying) >= 2 * self._resources.runs:
                    yield _landed(flying)
            while flying:
                yield _landed(flying)
        finally:
            for future in flying:
                future.cancel()

    def _fed(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        # Strings stay the objects that they are: numpy's own are all as long as the longest.
        known = {t.name: np.dtype(object if t.dtype == "str" else t.dtype) for t in self.inputs}
        return {
            name: value.astype(known[name], copy=False)
            for name, value in feeds.items()
            if name in known
        }


def expect_inputs(runner: Runner, allowed: set[str]) -> None:
    """Raise ModelError if the graph needs an input that its task does not make."""
    if extra := [t.name for t in runner.inputs if t.name not in allowed]:
        raise ModelError(
            f"model.onnx needs input(s) {', '.join(extra)}, which its task does not make "
            f"(it makes {', '.join(sorted(allowed))}); is 'task' in model_spec.json right?"
        )


def _load(path: Path, resources: EngineOptions) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = resources.threads
    options.enable_cpu_mem_arena = resources.arena
    for key, value in _waiting(resources.spinning).items():
        options.add_session_config_entry(f"session.intra_op.{key}", value)
    options.add_session_config_entry("session.disable_prepacking", str(int(not resources.prepack)))
    options.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except (
        Exception
    ) as e:  # onnxruntime raises one class an error code, with no common base but Exception
        raise ModelError(f"{path}: onnxruntime {ort.__version__} cannot load it: {e}") from e


def _waiting(spinning: int) -> dict[str, str]:
    version = tuple(int(part) for part in ort.__version__.split(".")[:2])
    if spinning and version >= (1, 26):
        return {"spin_duration_us": str(spinning)}
    return {"allow_spinning": "1" if spinning >= 1000 else "0"}


def _landed(flying: deque[Future[list[Array]]]) -> list[Array]:
    timing.switch("engine")
    result = flying.popleft().result()
    timing.switch("postprocess")
    return result


def _holds(path: Path, operator: bytes) -> bool:
    """Whether the graph names an operator that begins with `operator`; names stand in the file as
    they are."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(operator) >= 0


def _tensor(node: ort.NodeArg) -> Tensor:
    shape = tuple(d if isinstance(d, int | str) else "?" for d in node.shape or ())
    return Tensor(node.name, _DTYPES.get(node.type, node.type), shape)

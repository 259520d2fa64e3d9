"""The ONNX Runtime session: the one place that imports onnxruntime. From 1.29 on that sends
telemetry (file and graph names, hashes) to Microsoft, unless told not to before it is imported;
ORT_DISABLE_TELEMETRY=0 in the host's environment allows it."""

from __future__ import annotations

import ctypes
import mmap
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import Tensor
from onnxferry.scoring.session_threads import SessionThreads

Array: TypeAlias = "NDArray[Any]"  # shape and dtype are said where it matters

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(bool)": "bool",
    "tensor(string)": "str",
    **{f"tensor({n}{bits})": f"{n}{bits}" for n in ("int", "uint") for bits in (8, 16, 32, 64)},
}


class Runner(Protocol):
    """What a task is built on: a graph, or what answers in its place."""

    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]
    batch_dependent: bool  # whether a row's result depends on the other rows of its run
    parallel_runs: int  # at a time
    shared_runs: bool  # whether requests may share a run

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The outputs, in their order. Feeds are cast to the dtype of their input; those that are
        no input are left out."""


class Session:
    """A Runner: one graph in ONNX Runtime. Safe to call from several threads at once."""

    def __init__(self, path: Path, options: EngineOptions = EngineOptions()) -> None:
        """Raises ModelError when the file is absent or ONNX Runtime refuses it."""
        if not path.is_file():
            what = "no such file; a model directory holds its graph under this name"
            raise ModelError(f"{path}: {what}")
        self._path, self._options = path, options.resolved()
        self.parallel_runs, self.shared_runs = self._options.parallel_runs, options.shared_runs
        self._reopening = threading.Lock()
        self._open()
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())
        # strings stay Python objects: numpy's own are all as long as the longest
        known = [t for t in self.inputs if t.dtype in _DTYPES.values()]
        self._dtypes = {t.name: np.dtype("O" if t.dtype == "str" else t.dtype) for t in known}
        self.batch_dependent = batch_dependent(path)

    def _open(self) -> None:
        self._threads = SessionThreads(self._options.threads - 1)
        self._own_run = threading.Lock()
        with self._threads.started():
            self._session = _load(self._path, self._options)
        self._process = os.getpid()

    def _own_session(self) -> ort.InferenceSession:
        """A process that was forked after the load (gunicorn's --preload) lacks the session's
        threads, for which a run and a release would wait for ever: it opens its own session and
        never frees the parent's."""
        if self._process != os.getpid():
            with self._reopening:
                if self._process != os.getpid():
                    ctypes.pythonapi.Py_IncRef(ctypes.py_object(self._session))
                    self._open()
        return self._session

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """See Runner. Of several runs at a time one is done by its caller's thread, with the help
        of the session's own threads that are idle, and each of the others by one of these. So no
        more threads compute than there are CPUs."""
        session, own, cast = self._own_session(), self._own_run, self._cast(feeds)
        if self._options.threads == 1:  # the session has no thread of its own
            return _run(session, cast)
        if not own.acquire(blocking=False):
            return _run_aside(session, cast)
        try:
            self._threads.avoid_this_cpu()
            return _run(session, cast)
        finally:
            own.release()

    def _cast(self, feeds: Mapping[str, Array]) -> dict[str, Array]:
        taken = [(name, dtype) for name, dtype in self._dtypes.items() if name in feeds]
        return {name: feeds[name].astype(dtype, copy=False) for name, dtype in taken}


def _run(session: ort.InferenceSession, feeds: dict[str, Array]) -> list[Array]:
    outputs: list[Array] = session.run(None, feeds)
    return outputs


def _run_aside(session: ort.InferenceSession, feeds: dict[str, Array]) -> list[Array]:
    """By a thread of the session, for which this one waits."""
    answered: SimpleQueue[tuple[list[Array], str]] = SimpleQueue()

    def put(outputs: list[Array], kept: dict[str, Array], error: str) -> None:
        answered.put((outputs, error))

    session.run_async(None, feeds, put, feeds)
    outputs, error = answered.get()
    return _run(session, feeds) if error else outputs  # which raises it by its class


def repeated(feeds: Mapping[str, Array], rows: int) -> dict[str, Array]:
    """`feeds` of at most `rows` rows with copies of their last row, for a graph that takes exactly
    so many."""
    missing = {name: rows - len(array) for name, array in feeds.items()}
    return {
        name: np.concatenate([array, *[array[-1:]] * missing[name]]) if missing[name] else array
        for name, array in feeds.items()
    }


def _load(path: Path, options: EngineOptions) -> ort.InferenceSession:
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = options.threads
    settings.enable_cpu_mem_arena = options.arena
    for key, value in spin_entries(options).items():
        settings.add_session_config_entry(f"session.{key}", value)
    settings.add_session_config_entry("session.disable_prepacking", str(int(not options.prepack)))
    settings.log_severity_level = 3
    try:
        return ort.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    except Exception as e:  # onnxruntime's classes, one an error code, have no common base
        raise ModelError(f"{path}: onnxruntime {ort.__version__} cannot load it: {e}") from e


def spin_entries(options: EngineOptions, version: str = ort.__version__) -> dict[str, str]:
    """The session entries by which threads spin as `options` have it; before onnxruntime 1.26 they
    do so for its own time (from 1000) or not at all."""
    duration_us, stop = options.spin_duration_us, str(int(not options.spin_between_runs))
    spin = {"intra_op.allow_spinning": "1" if duration_us >= 1000 else "0"}
    if duration_us and tuple(int(part) for part in version.split(".")[:2]) >= (1, 26):
        spin = {"intra_op.spin_duration_us": str(duration_us)}
    return {**spin, "force_spinning_stop": stop}


def batch_dependent(path: Path) -> bool:
    """Runner.batch_dependent of a graph, by an operator's name, which stands in the file as it
    is."""
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
        return content.find(b"DynamicQuantize") >= 0


def _tensor(node: ort.NodeArg) -> Tensor:
    return Tensor(node.name, _DTYPES.get(node.type, node.type), tuple(map(_size, node.shape or ())))


def _size(dimension: Any) -> int | str:
    """A number, a name, or "?". Some exporters write a fixed size as a name."""
    if isinstance(dimension, str) and dimension.isdecimal():
        return int(dimension)
    return dimension if isinstance(dimension, int | str) else "?"

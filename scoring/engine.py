"""The ONNX Runtime session: the one place that imports onnxruntime.

From 1.29 on onnxruntime tells its maker about each session (file and graph names, hashes) unless it is told not to
before it is imported, so that is done here; ORT_DISABLE_TELEMETRY=0 in the host's environment allows it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime as ort

from scoring.contract import Tensor
from scoring.errors import ModelError

Array: TypeAlias = NDArray[Any]  # shape and dtype are said where it matters

_DTYPES = {
    "tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16",
    "tensor(int64)": "int64", "tensor(int32)": "int32", "tensor(int16)": "int16", "tensor(int8)": "int8",
    "tensor(uint64)": "uint64", "tensor(uint32)": "uint32", "tensor(uint16)": "uint16", "tensor(uint8)": "uint8",
    "tensor(bool)": "bool", "tensor(string)": "str",
}  # fmt: skip


class Session:
    """One loaded graph. `run` may be called from several threads at once.

    `inputs` and `outputs` describe the graph: name, numpy dtype and shape.
    """

    def __init__(self, path: Path, threads: int | None = None) -> None:
        """Load `path` with `threads` threads an operator (default: the CPUs that this process may use).

        Raises ModelError when the file is absent or ONNX Runtime refuses it.
        """
        if not path.is_file():
            raise ModelError(f"{path}: no such file; a model directory holds its graph under this name")
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads or _cpus()
        options.log_severity_level = 3
        try:
            self._session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as e:  # onnxruntime raises one class an error code, with no common base but Exception
            raise ModelError(f"{path}: onnxruntime {ort.__version__} cannot load it: {e}") from e
        self.inputs = tuple(_tensor(node) for node in self._session.get_inputs())
        self.outputs = tuple(_tensor(node) for node in self._session.get_outputs())

    def run(self, feeds: Mapping[str, Array]) -> list[Array]:
        """The graph's outputs for `feeds`, in the order of `outputs`; feeds that the graph does not take are left out,
        the others are cast to the dtype that it declares."""
        known = {t.name: np.dtype(t.dtype) for t in self.inputs}
        fed = {name: value.astype(known[name], copy=False) for name, value in feeds.items() if name in known}
        result: list[Array] = self._session.run(None, fed)
        return result

    def expect_inputs(self, allowed: set[str]) -> None:
        """Raise ModelError if the graph needs an input that its task does not make."""
        if extra := [t.name for t in self.inputs if t.name not in allowed]:
            raise ModelError(
                f"model.onnx needs input(s) {', '.join(extra)}, which its task does not make "
                f"(it makes {', '.join(sorted(allowed))}); is 'task' in model_spec.json right?"
            )


def _cpus() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _tensor(node: ort.NodeArg) -> Tensor:
    shape = tuple(d if isinstance(d, int | str) else "?" for d in node.shape or ())
    return Tensor(node.name, _DTYPES.get(node.type, node.type), shape)

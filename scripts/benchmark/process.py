"""Starts the process of one engine, asks it, and makes certain that it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from onnxferry.scripts.benchmark.engines import ENGINES
from onnxferry.scripts.benchmark.specs import EngineSpec
from onnxferry.system.errors import BenchmarkError, UsageError

_WORKER = Path(__file__).parent / "worker.py"
_TAIL = 1500  # bytes of what the process said last
OFFLINE = {  # nothing is fetched, and no telemetry is sent
    "HF_HUB_OFFLINE": "1",
    "TRANSFORMERS_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "DO_NOT_TRACK": "1",
    "ORT_DISABLE_TELEMETRY": "1",
    "NM_DISABLE_ANALYTICS": "True",
}


class LibraryMissing(BenchmarkError):
    """The interpreter lacks the engine's library."""


class EngineProcess:
    """The process of one engine, for as long as the block, in a session of its own, so that Ctrl-C
    reaches only us."""

    def __init__(
        self, spec: EngineSpec, python: str = sys.executable, cores: int | None = None
    ) -> None:
        """Start it. Raises UsageError when `python` cannot be started."""
        self.spec, self._python, self._cores = spec, python, cores
        self._folder = tempfile.TemporaryDirectory(prefix="onnxferry-benchmark-")
        self.temporary = self._folder.name
        self._said = Path(self.temporary, "stderr").open("w+b")  # noqa: SIM115  # until __exit__
        command, pipe = [python, str(_WORKER), self.temporary], subprocess.PIPE
        env = {**os.environ, **OFFLINE, "TMPDIR": self.temporary}
        env |= {"OMP_NUM_THREADS": str(cores)} if cores else {}
        env |= spec.environment
        try:
            self._process = subprocess.Popen(
                command, env=env, start_new_session=True, stdin=pipe, stdout=pipe, stderr=self._said
            )
        except OSError as e:
            self._said.close()
            self._folder.cleanup()
            reason = f"cannot be started ({e.strerror})"
            raise UsageError(f"--python {spec.kind}={python}: {reason}") from e
        self.pid = self._process.pid

    def __enter__(self) -> EngineProcess:
        return self

    def __exit__(self, *_: object) -> None:
        """End the process and all that it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._said):
            with suppress(BrokenPipeError):
                if stream:
                    stream.close()
        self._folder.cleanup()

    def load(self, task: str) -> float:
        """Seconds that the engine took to be imported and loaded. Raises LibraryMissing,
        BenchmarkError."""
        spec, cores = self.spec, self._cores
        what = {"kind": spec.kind, "folder": str(spec.folder), "options": dict(spec.options)}
        return float(self.ask("load", **what, task=task, cores=cores))

    def versions(self) -> dict[str, str]:
        """The versions of the engine's packages, its own first."""
        return dict(self.ask("versions", packages=ENGINES[self.spec.kind].packages))

    def ask(self, do: str, **arguments: Any) -> Any:
        """What LoadedEngine's method `do` returns. Raises BenchmarkError when it fails or the
        process dies, LibraryMissing."""
        reply = self._ask({"do": do, **arguments})
        if "missing" in reply:
            what = f"{self.spec.name}: {reply['missing']} ({self._python})"
            how = f"or give an interpreter that has it: --python {self.spec.kind}=PATH"
            raise LibraryMissing(f"{what}. Put that right there, {how}")
        if "error" in reply:
            what = f"{self.spec.name} failed to {do}: {reply['error']}"
            raise BenchmarkError(f"{what}\n{self._said_last()}")
        return reply["result"]

    def _ask(self, command: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin and self._process.stdout  # noqa: S101
        try:
            self._process.stdin.write(json.dumps(command).encode() + b"\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = b""
        if not line:
            code = self._process.wait()
            how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            what = f"{self.spec.name}: its process died with {how}. The last that it said:"
            raise BenchmarkError(f"{what}\n{self._said_last()}")
        return dict(json.loads(line))

    def _said_last(self) -> str:
        size = self._said.seek(0, os.SEEK_END)
        self._said.seek(max(0, size - _TAIL))
        return self._said.read().decode("utf-8", "replace").strip() or "(nothing)"

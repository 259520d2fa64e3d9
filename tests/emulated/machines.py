"""Interpreters on emulated CPUs, by Debian's qemu-user: arm64, and x86 with AVX2 but no AVX-512."""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from onnxferry.system.cache import cache_folder
from tests.emulated import arm64

ROOT = Path(__file__).parent.parent.parent
# qemu 7.2 computes some of numpy's AVX2 loops wrongly, differently in each run. ONNX Runtime, which
# computes the model, keeps AVX2.
NUMPY = {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 F16C AVX"}


@dataclass(frozen=True)
class Emulated:
    """`command` starts the interpreter, `packages` is the folder of its libraries."""

    command: Sequence[str]
    packages: Path
    environment: Mapping[str, str] = field(default_factory=dict)

    def answers(self, questions: Path) -> dict[str, list[Any]]:
        """What answer.py prints for the file `questions`, on this CPU."""
        path = {"PYTHONPATH": f"{self.packages}{os.pathsep}{ROOT}"}
        script = str(Path(__file__).parent / "answer.py")
        done = subprocess.run(
            [*self.command, script, str(questions)],
            env={**os.environ, **path, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        found: dict[str, list[Any]] = json.loads(done.stdout)
        return found


def haswell() -> Emulated:
    """This interpreter and its libraries on AVX2 and FMA, without AVX-512."""
    command = [_qemu("qemu-x86_64"), "-cpu", "Haswell", os.path.realpath(sys.executable)]
    return Emulated(command, Path(sysconfig.get_path("platlib")), NUMPY)


def cortex_a72() -> Emulated:
    """Debian's arm64 Python with wheels for it, fetched on first use."""
    qemu = _qemu("qemu-aarch64")
    try:
        version = importlib.metadata.version("onnxruntime")
        system = arm64.system(cache_folder() / f"emulated-arm64-onnxruntime-{version}")
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"needs Debian's apt and pip to fetch an arm64 Python and its libraries: {e}")
    command = [qemu, "-cpu", "cortex-a72", "-L", str(system), str(arm64.python(system))]
    return Emulated(command, system / arm64.PACKAGES)


def _qemu(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} on the path: apt-get install qemu-user")
    return found

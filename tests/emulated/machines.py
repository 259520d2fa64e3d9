"""Interpreters on emulated CPUs, by Debian's qemu-user: arm64, and x86 with AVX2 but no AVX-512."""

from __future__ import annotations

import importlib.metadata
import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pytest

from onnxferry.system.cache import cache_folder
from tests.emulated import arm64

ROOT = Path(__file__).parent.parent.parent
# qemu 7.2 computes some of numpy's AVX2 loops wrongly, differently in each run. ONNX Runtime, which
# computes the model, keeps AVX2.
NUMPY = {"NPY_DISABLE_CPU_FEATURES": "AVX2 FMA3 F16C AVX"}


@dataclass(frozen=True)
class Emulated:
    """`qemu` with `options` starts `interpreter`, `packages` is the folder of its libraries;
    `getppid` is the number of that system call there."""

    qemu: str
    options: Sequence[str]
    interpreter: Path
    packages: Path
    getppid: int
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, script: Path, *arguments: str, plugin: Path | None = None) -> str:
        """What a script prints on this CPU, with a plugin of qemu that is told `getppid`."""
        path = {"PYTHONPATH": f"{self.packages}{os.pathsep}{ROOT}"}
        plugged = ["-plugin", f"{plugin},mark={self.getppid}"] if plugin else []
        done = subprocess.run(
            [self.qemu, *plugged, *self.options, str(self.interpreter), str(script), *arguments],
            env={**os.environ, **path, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-2000:]
        return done.stdout


def haswell() -> Emulated:
    """This interpreter and its libraries on AVX2 and FMA, without AVX-512."""
    interpreter, packages = Path(sys.executable).resolve(), Path(sysconfig.get_path("platlib"))
    return Emulated(_qemu("qemu-x86_64"), ["-cpu", "Haswell"], interpreter, packages, 110, NUMPY)


def arm(cpu: str) -> Emulated:
    """Debian's arm64 Python with wheels for it, fetched on first use, on qemu's model `cpu`."""
    qemu = _qemu("qemu-aarch64")
    try:
        version = importlib.metadata.version("onnxruntime")
        system = arm64.system(cache_folder() / f"emulated-arm64-onnxruntime-{version}")
    except (OSError, subprocess.CalledProcessError) as e:
        pytest.skip(f"needs Debian's apt and pip to fetch an arm64 Python and its libraries: {e}")
    options = ["-cpu", cpu, "-L", str(system)]
    return Emulated(qemu, options, arm64.python(system), system / arm64.PACKAGES, 173)


_SVE = "sve-default-vector-length"  # bytes
MACHINES: Mapping[str, Callable[[], Emulated]] = {
    "AVX2": haswell,
    "arm64": partial(arm, "cortex-a72"),
    "arm64, dot product": partial(arm, "neoverse-n1"),
    "arm64, i8mm": partial(arm, "max,sve=off"),
    "arm64, SVE of 128 bits": partial(arm, f"max,sme=off,{_SVE}=16"),
    "arm64, SVE of 256 bits": partial(arm, f"max,sme=off,{_SVE}=32"),
}
"""By the instructions that ONNX Runtime's integer products take there. Of Graviton, 1 has none
of them, 2 the dot product, 3 SVE of 256 bits, 4 of 128. No cloud's CPU has SME."""


def _qemu(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"needs {name} on the path: apt-get install qemu-user")
    return found

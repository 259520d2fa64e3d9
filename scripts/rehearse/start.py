"""start(package): the package in its platform's hosting runtime, up for as long as the block runs.

All that it makes is in one temporary folder and one process group, gone when the block ends.
"""

from __future__ import annotations

import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse import environments
from onnxferry.scripts.rehearse.host import Host
from onnxferry.scripts.rehearse.processes import running
from onnxferry.scripts.rehearse.pythons import find_python
from onnxferry.scripts.rehearse.runtime import HOSTS, Runtime, UnpackedPackage
from onnxferry.system.cache import cache_folder
from onnxferry.system.console import Report, stage
from onnxferry.system.errors import RehearsalError
from onnxferry.system.exits import program
from onnxferry.system.signals import interruptible
from onnxferry.targets import TARGETS, load

START_LIMIT = 120.0  # seconds to the first healthy answer
_KEPT = ("PATH", "LANG", "LC_ALL", "JAVA_HOME")


@contextmanager
def start(
    package: Package,
    *,
    runtime: Runtime | None = None,
    cache: Path | None = None,
    timeout: float = START_LIMIT,
    report: Report = stage,
) -> Iterator[Host]:
    """Unpack `package`, make its environment if `cache` has it not, start its runtime (by default
    its target's), and yield it once it is healthy, within `timeout` seconds.

    Raises RehearsalError that says what is missing on this machine, or what the runtime printed
    when it did not start.
    """
    runtime = runtime or _runtime(package)
    runtime.check()
    python = _python(package)
    with (
        interruptible(),
        tempfile.TemporaryDirectory(prefix="onnxferry-", ignore_cleanup_errors=True) as temp,
    ):
        with report(f"unpack {package.path.name}"):
            unpacked = runtime.unpack(package, Path(temp))
        name = f"{package.target}-{package.python}"
        installs = runtime.installs(unpacked, package.python)
        venv = environments.environment(name, python, installs, cache or cache_folder(), report)
        with _serving(runtime, unpacked, venv) as host, host.up(timeout, report):
            yield host


@contextmanager
def _serving(runtime: Runtime, unpacked: UnpackedPackage, venv: Path) -> Iterator[Host]:
    port = _free_port()
    work, home = unpacked.root / "work", unpacked.root / "home"
    work.mkdir()
    home.mkdir()
    arguments = runtime.arguments(unpacked, port)
    env = {**_clean_environment(venv, home), **runtime.environment(unpacked, port)}
    command = [str(venv / "bin" / "python"), str(HOSTS / runtime.launcher), *arguments]
    with running(command, env=env, cwd=work, log=unpacked.root / "host.log") as process:
        yield Host(runtime, unpacked, port, process)


def _runtime(package: Package) -> Runtime:
    if package.target not in TARGETS:
        known = ", ".join(TARGETS)
        raise RehearsalError(f"target '{package.target}' has no rehearsal; known: {known}")
    runtime: Runtime = load(TARGETS[package.target].runtime)
    return runtime


def _python(package: Package) -> Path:
    if (found := find_python(package.python)) is None:
        raise RehearsalError(
            f"{package.path} is for Python {package.python}, and this machine has none that can"
            f" make a virtual environment. Install python{package.python}, or build the package for"
            f" a version that is here: {program('package')} MODEL_DIR --target {package.target}"
            " --python X.Y"
        )
    return found


def _clean_environment(venv: Path, home: Path) -> dict[str, str]:
    """Little of the user's environment, so that a rehearsal proves the package and not the machine,
    and leaves no trace in the user's folders: HOME and the temporary folder are our own. Nothing
    may come from a model hub."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join((str(venv / "bin"), kept.get("PATH", os.defpath)))
    own = dict.fromkeys(("HOME", "TMPDIR", "TEMP"), str(home))
    return {**kept, **own, "PATH": path, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    """A free port on loopback, below 32767: the model server of SageMaker takes no other, and above
    it systems hand out ports to clients, one of which could take it before the runtime does."""
    for port in random.sample(range(15000, 32000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RehearsalError(
        "none of 100 ports between 15000 and 32000 is free on 127.0.0.1; end what holds them"
    )

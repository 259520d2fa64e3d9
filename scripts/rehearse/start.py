"""start(package): the package in its platform's hosting runtime, in one temporary folder and one
process group, gone when the block ends."""

from __future__ import annotations

import os
import random
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from onnxferry.scripts.package.build import target_row
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.host import Host
from onnxferry.scripts.rehearse.limits import Limits
from onnxferry.scripts.rehearse.network import Network, choose
from onnxferry.scripts.rehearse.processes import running
from onnxferry.scripts.rehearse.runtime import Runtime, UnpackedPackage
from onnxferry.system.cache import cache_folder
from onnxferry.system.console import ReportStage, stage
from onnxferry.system.errors import RehearsalError
from onnxferry.system.exits import program
from onnxferry.system.pythons import find_python
from onnxferry.system.signals import interruptible
from onnxferry.targets import load

_KEPT = ("PATH", "LANG", "LC_ALL", "JAVA_HOME")


def runtime_of(target: str, image: str = "") -> Runtime:
    """The runtime of `target`, the one of `image` where that has one of its own."""
    runtime: Runtime = load(target_row(target).runtime)
    return runtime.images.get(image, runtime)


@dataclass(frozen=True)
class Surroundings:
    """What a host has of the machine."""

    network: Network
    limits: Limits = field(default_factory=Limits)


@contextmanager
def start(
    package: Package,
    *,
    runtime: Runtime | None = None,
    cache: Path | None = None,
    around: Surroundings | None = None,
    report: ReportStage = stage,
) -> Iterator[Host]:
    """Unpack `package`, make its environment if `cache` has it not, start its runtime
    with what is `around` (by default no egress, where this machine lets it), and yield it once it
    is healthy. Raises RehearsalError with what is missing on this machine, or what the runtime
    printed."""
    runtime = runtime or runtime_of(package.target)
    runtime.check()
    python = _python(package)
    folder = tempfile.TemporaryDirectory(prefix="onnxferry-", ignore_cleanup_errors=True)
    with interruptible(), folder as temp:
        with report(f"unpack {package.path.name}"):
            unpacked = runtime.unpack(package, Path(temp))
        name = f"{package.target}-{package.python}"
        installs = runtime.installs(unpacked, package.python)
        venv = environment(name, python, installs, cache or cache_folder(), report)
        runtime.build(unpacked, venv / "bin" / "python")
        given = around or Surroundings(choose())
        serving = _serving(runtime, unpacked, venv, given)
        kept = given.limits.files.applied(unpacked.model)
        with kept, serving as host, host.up(runtime.limit, report):
            yield host


@contextmanager
def _serving(
    runtime: Runtime, unpacked: UnpackedPackage, venv: Path, around: Surroundings
) -> Iterator[Host]:
    network, limits = around.network, around.limits
    port = _free_port()
    work, home = unpacked.root / "work", unpacked.root / "home"
    work.mkdir()
    home.mkdir()
    own = {**network.variables, **runtime.environment(unpacked, port)}
    env = {**_clean_environment(venv, home), **own}
    if limits.files.read_only:
        env["HOME"] = str(unpacked.root)  # which is no temporary folder
    python = venv / "bin" / "python"
    command = (
        *limits.memory.front,
        *limits.files.front(work, home),
        *network.command(port, python, *runtime.command(unpacked, port)),
    )
    log = unpacked.root / "host.log"
    with running(command, env=env, cwd=work, log=log, grace=runtime.grace) as process:
        yield Host(runtime, unpacked, port, process, limits.memory)


def _python(package: Package) -> Path:
    if found := find_python(package.python):
        return found
    again = f"{program('package')} MODEL_DIR --target {package.target} --python X.Y"
    raise RehearsalError(
        f"{package.path} is for Python {package.python}, and none that can make a virtual"
        f" environment is here. Install python{package.python}, or package for another: {again}"
    )


def _clean_environment(venv: Path, home: Path) -> dict[str, str]:
    """Little of the user's environment, so that a rehearsal proves the package, not the machine,
    and leaves nothing in the user's folders."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join((str(venv / "bin"), kept.get("PATH", os.defpath)))
    own = dict.fromkeys(("HOME", "TMPDIR", "TEMP"), str(home))
    return {**kept, **own, "PATH": path, "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}


def _free_port() -> int:
    """A free port on loopback, below 32767: SageMaker's model server takes no other, and others are
    handed out to clients."""
    for port in random.sample(range(15000, 32000), 100):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RehearsalError(
        "no port between 15000 and 32000 is free on 127.0.0.1; end what holds them"
    )

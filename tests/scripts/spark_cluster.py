"""A standalone Spark cluster of processes on loopback, which end with the block."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen

import psutil  # type: ignore[import-untyped]

from onnxferry.scripts.rehearse.processes import members, running
from tests.eventually import eventually

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cluster:
    """`address` is for --master; each of `workers` has one core, and starts executors."""

    address: str
    workers: tuple[Popen[bytes], ...]

    def executors(self, worker: int) -> list[psutil.Process]:
        """The JVMs of one worker that run tasks."""
        return [
            found
            for found in members(self.workers[worker])
            if "org.apache.spark.executor.CoarseGrainedExecutorBackend" in found.cmdline()
        ]

    def kill(self, worker: int) -> None:
        """As a machine that loses its power."""
        for found in members(self.workers[worker]):
            found.kill()


def environ(python: Path) -> dict[str, str]:
    """For Spark of `python`'s environment, and its workers there."""
    home = next(python.parent.parent.glob("lib/python3*/site-packages/pyspark"))
    own = {"SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1", "PYSPARK_PYTHON": str(python)}
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME") if name in os.environ}
    return {**kept, **own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@contextmanager
def standalone(folder: Path, env: Mapping[str, str], workers: int = 2) -> Iterator[Cluster]:
    """A master and its workers, that know each other."""
    port = _free_port()
    address, log = f"spark://127.0.0.1:{port}", folder / "master.log"
    at = ("--host", "127.0.0.1", "--webui-port", "0")
    run = [f"{env['SPARK_HOME']}/bin/spark-class", "org.apache.spark.deploy.master.Master", *at]
    with ExitStack() as stack:
        command = [*run, "--port", port]
        stack.enter_context(running(command, env=env, cwd=folder, log=log))
        assert eventually(lambda: "Starting Spark master" in log.read_text(), 120), log.read_text()
        own = ("--cores", 1, "--memory", "1g", "--work-dir", folder / "work")
        run[1] = "org.apache.spark.deploy.worker.Worker"
        started = [
            stack.enter_context(
                running([*run, *own, address], env=env, cwd=folder, log=folder / f"worker{i}.log")
            )
            for i in range(workers)
        ]
        assert eventually(lambda: log.read_text().count("Registering worker") == workers, 120)
        yield Cluster(address, tuple(started))


def _free_port() -> int:
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        port: int = listening.getsockname()[1]
        return port

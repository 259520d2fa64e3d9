"""The target of an autoscaling that deploy.toml leaves out, reckoned from the package's rehearsal.

An instance answers as many requests a second as its CPUs have time for, by the CPU time of one
request; or as its workers do one after the other, where their number is set. Half of that is the
target: so the load may double in the minutes in which more instances come up.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnxferry.infra.sagemaker.scaling.requests import Request, number
from onnxferry.infra.target_tables.sagemaker import SageMaker
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import record
from onnxferry.scripts.rehearse.record import RehearsalRecord
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

HEADROOM = 0.5  # of what an instance can do; as AWS advises to begin with
SCALE_OUT_SECONDS = 300.0  # until another instance serves, usually
_UTILISATION = 0.7  # of provisioned concurrency
_CLOSE = 0.25  # by how much a rehearsal's figures may differ from another's
_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
_CPUS = {"medium": 2, "large": 2, "xlarge": 4}


@dataclass(frozen=True)
class Target:
    """What each instance shall get, with `why` for people, "" where deploy.toml says it."""

    value: float
    why: str = ""


def target(settings: SageMaker, variant: Request, package: Package, found: float | None) -> Target:
    """The target for a production variant. `found` is what is registered for it now on the same
    instances, None if nothing: it stays where the package's rehearsal does not say otherwise by
    more than a quarter. Raises UsageError where nothing says what the target is."""
    given = settings.scaling.target if settings.scaling else None
    if given is not None:
        return Target(given)
    if settings.serving.mode == "serverless":
        return Target(_UTILISATION, "the default")
    rehearsed = record.read(package)
    cpus = vcpus(variant["InstanceType"])
    if rehearsed and rehearsed.sha256 == package.sha256 and rehearsed.cpu_ms > 0 and cpus:
        return _close_to(found, _reckoned(settings, rehearsed, cpus))
    if found is not None:
        return Target(found, "as it is: this package was not rehearsed")
    raise UsageError(_unknown(variant["InstanceType"], cpus))


def vcpus(instance_type: str) -> int | None:
    """The virtual CPUs of an instance type, by the way their sizes are named; None where its name
    does not say."""
    size = instance_type.rpartition(".")[2]
    many = re.fullmatch(r"(\d+)xlarge", size)
    return 4 * int(many[1]) if many else _CPUS.get(size)


def requests_a_second(settings: SageMaker, rehearsed: RehearsalRecord, cpus: int) -> float:
    """What one instance can do: in CPU time, and in turns of its workers where their number is
    set."""
    by_cpu = cpus * 1000 / rehearsed.cpu_ms
    workers = settings.environment.get(_WORKERS, "")
    if not workers.isdigit() or rehearsed.latency_p50_ms <= 0:
        return by_cpu
    return min(by_cpu, int(workers) * 1000 / rehearsed.latency_p50_ms)


def _reckoned(settings: SageMaker, rehearsed: RehearsalRecord, cpus: int) -> Target:
    able = requests_a_second(settings, rehearsed, cpus)
    value, words = _MODES[settings.serving.mode](able)
    said = f"{rehearsed.cpu_ms:.4g} ms of CPU a request in the rehearsal, {cpus} CPUs"
    return Target(max(1.0, float(f"{value:.2g}")), f"{words}; {said}")


def _invocations(able: float) -> tuple[float, str]:
    """A minute."""
    return able * 60 * HEADROOM, f"half of the {number(able * 60)} a minute that it can answer"


def _backlog(able: float) -> tuple[float, str]:
    """What is done before another instance is up needs none."""
    seconds = SCALE_OUT_SECONDS * HEADROOM
    return able * seconds, f"what it answers in {seconds:.0f} s, half of what a new one takes"


_MODES: Mapping[str, Callable[[float], tuple[float, str]]] = {
    "realtime": _invocations,
    "async": _backlog,
}


def _close_to(found: float | None, reckoned: Target) -> Target:
    if found is None or abs(found - reckoned.value) > _CLOSE * reckoned.value:
        return reckoned
    return Target(found, reckoned.why)


def _unknown(instance_type: str, cpus: int | None) -> str:
    if cpus is None:
        return (
            f"how many CPUs {instance_type} has is not known: set sagemaker.scaling.target (what"
            " each instance shall get: requests a minute; in mode async requests that wait)"
        )
    return (
        "sagemaker.scaling.target is not set, and the package was not rehearsed, by which it would"
        f" be reckoned: run {program('rehearse')} --target sagemaker first, or set"
        " scaling.target (what each instance shall get: requests a minute; in mode async requests"
        " that wait)"
    )

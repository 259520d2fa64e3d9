"""The target of an autoscaling that deploy.toml leaves out, reckoned from the package's
rehearsal."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from onnxferry.infra.rehearsed_capacity import (
    HEADROOM,
    Target,
    close_to,
    reckoned,
    requests_a_minute,
    requests_a_second,
)
from onnxferry.infra.sagemaker.scaling.requests import Request
from onnxferry.infra.target_tables.sagemaker import SageMaker
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import record
from onnxferry.scripts.rehearse.record import RehearsalRecord
from onnxferry.system.errors import UsageError
from onnxferry.system.exits import program

SCALE_OUT_SECONDS = 300.0  # until another instance serves, usually
_UTILISATION = 0.7  # of provisioned concurrency
_WORKERS = "SAGEMAKER_MODEL_SERVER_WORKERS"
_CPUS = {"medium": 2, "large": 2, "xlarge": 4}


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
        return close_to(found, _reckoned(settings, rehearsed, cpus))
    if found is not None:
        return Target(found, "as it is: this package was not rehearsed")
    raise UsageError(_unknown(variant["InstanceType"], cpus))


def vcpus(instance_type: str) -> int | None:
    """The virtual CPUs of an instance type, by the way their sizes are named; None where its name
    does not say."""
    size = instance_type.rpartition(".")[2]
    many = re.fullmatch(r"(\d+)xlarge", size)
    return 4 * int(many[1]) if many else _CPUS.get(size)


def _reckoned(settings: SageMaker, rehearsed: RehearsalRecord, cpus: int) -> Target:
    able = requests_a_second(rehearsed, cpus, settings.environment.get(_WORKERS, ""))
    return reckoned(*_MODES[settings.serving.mode](able), rehearsed, cpus)


def _backlog(able: float) -> tuple[float, str]:
    """What is done before another instance is up needs none."""
    seconds = SCALE_OUT_SECONDS * HEADROOM
    return able * seconds, f"what it answers in {seconds:.0f} s, half of what a new one takes"


_MODES: Mapping[str, Callable[[float], tuple[float, str]]] = {
    "realtime": requests_a_minute,
    "async": _backlog,
}


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

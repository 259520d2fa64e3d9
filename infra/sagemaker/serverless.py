"""What a package must be to serve without instances: small enough, within the containers' memory,
and soon up. Its rehearsal tells, where there was one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from onnxferry.infra.errors import Refused
from onnxferry.infra.plan import Plan
from onnxferry.infra.sagemaker.names import Names
from onnxferry.infra.target_tables.sagemaker import SageMaker, Serverless
from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse import record
from onnxferry.scripts.rehearse.record import RehearsalRecord
from onnxferry.system.exits import program

_SIZES = (1024, 2048, 3072, 4096, 5120, 6144)  # MB of memory that a container may have
_DISK_BYTES = 5 << 30  # that a container has, for the package and what it is unpacked to
_START_SECONDS = 180  # until a container must answer the first health check


def variables(settings: SageMaker) -> dict[str, str]:
    """Of the model server: a container gets one request at a time, so one worker is enough, and
    more would take the memory of more."""
    serverless = isinstance(settings.serving, Serverless)
    return {"SAGEMAKER_MODEL_SERVER_WORKERS": "1"} if serverless else {}


def checked(plan: Plan, names: Names, package: Package) -> Plan:
    """`plan` with notes of what is not known of `package`. Raises Refused where it does not fit."""
    serving = names.settings.serving
    if not isinstance(serving, Serverless):
        return plan
    found = record.read(package)
    known = found if found and found.sha256 == package.sha256 else None
    if problem := _problem(serving, package, known):
        raise Refused(f"AWS {names.region}, endpoint {names.endpoint}, serverless: {problem}")
    notes = (*plan.summary.notes, *_notes(serving, known))
    return replace(plan, summary=replace(plan.summary, notes=notes))


def _problem(serving: Serverless, package: Package, found: RehearsalRecord | None) -> str:
    """Why `package` cannot serve so; "" where nothing is known against it."""
    if package.size > _DISK_BYTES:
        most = f"{_DISK_BYTES / 1e9:.1f} GB of disk"
        return f"{package.path} has {package.size / 1e9:.1f} GB, and a container {most}; {_ELSE}"
    needed = max(found.memory_mib if found else 0, package.size / 2**20)
    if needed <= serving.memory_mb:
        return ""
    what = "its rehearsal took" if found and found.memory_mib == needed else "the package alone has"
    larger = next((size for size in _SIZES if size >= needed), None)
    advice = f"set sagemaker.serving.memory_mb = {larger}" if larger else _ELSE
    return f"{what} {needed:.0f} MB, and memory_mb is {serving.memory_mb}; {advice}"


_ELSE = 'take a smaller variant of the model, or serving.mode = "realtime"'


def _notes(serving: Serverless, found: RehearsalRecord | None) -> Iterator[str]:
    command = program("rehearse")
    asked = f"{command} --target sagemaker --memory-mb {serving.memory_mb} --read-only"
    if found is None:
        yield f"The package was not rehearsed here as a serverless container has it: {asked}"
    elif not (found.memory_mb and found.read_only):
        yield f"The package was rehearsed without such limits: {asked}"
    elif found.memory_mb > serving.memory_mb:
        yield f"It was rehearsed with {found.memory_mb} MB, more than it will have: {asked}"
    if found and found.start_seconds > _START_SECONDS:
        yield (
            f"Its rehearsal took {found.start_seconds:.0f} s to start, and a serverless container"
            f" must answer within {_START_SECONDS} s."
        )

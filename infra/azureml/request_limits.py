"""How long Azure waits for a container to load its model, and for an answer: as deploy.toml says,
else by the package's rehearsal, which only ever makes it longer than the package's own files have
it. The steps are coarse, so that two rehearsals of a package end in the same deployment.
"""

from __future__ import annotations

from typing import Any

from onnxferry.infra.target_tables.azureml import AzureML
from onnxferry.scripts.package.azureml import one_process, probe
from onnxferry.scripts.rehearse.record import RehearsalRecord

_START_MINUTES = (5, 10, 20, 40, 60)  # the package's own probes wait for as long as the first
_TIMEOUT_SECONDS = (90, 180)  # the package's own, and the most that Azure takes
_SLOWER = 5  # by how much a host may be slower at loading: another CPU, and files not yet cached
_BUSIER = 20  # times the latency of a request alone: others at the same time, on another CPU
_ALIVE_SECONDS = 300  # of failed probes, until a container that had started is taken for dead


def variables(settings: AzureML) -> dict[str, str]:
    """As many threads as requests are sent at a time, where deploy.toml says how many."""
    threads = settings.requests.concurrency
    return one_process(threads) if threads else {}


def limits(settings: AzureML, record: RehearsalRecord | None) -> dict[str, Any]:
    """Request settings and probes of deployment.yml, as far as they differ from the package's."""
    found = {"request_settings": _requests(settings, record), **_probes(settings, record)}
    return {key: value for key, value in found.items() if value}


def _requests(settings: AzureML, record: RehearsalRecord | None) -> dict[str, int]:
    asked = settings.requests
    timeout = asked.timeout_seconds or _by_rehearsal(record)
    found = {
        "request_timeout_ms": round(timeout * 1000) if timeout else None,
        "max_concurrent_requests_per_instance": asked.concurrency,
        "max_queue_wait_ms": round(asked.queue_seconds * 1000) if asked.queue_seconds else None,
    }
    return {key: value for key, value in found.items() if value is not None}


def _by_rehearsal(record: RehearsalRecord | None) -> int | None:
    """The timeout, where the package's own is too short."""
    needed = record.latency_p95_ms / 1000 * _BUSIER if record else 0
    return _wider(needed, _TIMEOUT_SECONDS)


def _probes(settings: AzureML, record: RehearsalRecord | None) -> dict[str, Any]:
    minutes = settings.requests.start_minutes
    if minutes is None and record:
        minutes = _wider(record.start_seconds * _SLOWER / 60, _START_MINUTES)
    return _patient(minutes * 60) if minutes else {}


def _patient(seconds: int) -> dict[str, Any]:
    """Ready as soon as it is, and dead no sooner than `seconds` after the start."""
    own = probe()
    tries = -(-(seconds - own["initial_delay"]) // own["period"])
    late = max(own["initial_delay"], seconds - _ALIVE_SECONDS)
    return {
        "liveness_probe": {**own, "initial_delay": late},
        "readiness_probe": {**own, "failure_threshold": max(own["failure_threshold"], tries)},
    }


def _wider(needed: float, steps: tuple[int, ...]) -> int | None:
    """The first of the `steps`, in order, that suffices, else the last; None where that is the
    first, which needs nothing."""
    found = next((step for step in steps if step >= needed), steps[-1])
    return found if found > steps[0] else None

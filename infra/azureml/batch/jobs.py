"""Jobs of a batch endpoint. AzureML keeps each for ever, and its name with it: those of one input,
output and version are counted, ENDPOINT-VERSION-DIGEST-NUMBER."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.infra.azureml.names import Names
from onnxferry.infra.azureml.state import Clients, CurrentState
from onnxferry.infra.errors import NotAllowed, Unavailable
from onnxferry.infra.plan import Action, Step

KIND = "batch job"
_THEIRS = "not onnxferry's"
ENDED = frozenset({"Completed", "Failed", "Canceled"})


@dataclass(frozen=True)
class BatchJob:
    """One of ours, by its name; `place` is the digest of its input and output."""

    name: str
    state: str
    version: str
    place: str
    number: int

    @property
    def running(self) -> bool:
        """Whether it is at work, waits for that, or is being stopped."""
        return self.state not in ENDED


def found(clients: Clients, names: Names) -> list[BatchJob]:
    """The jobs of the batch endpoint, which is there, with names of ours."""
    pattern = re.compile(
        rf"{re.escape(names.endpoint)}-([0-9a-f]{{12}})-([0-9a-f]{{8}})-(\d{{1,5}})"
    )
    return [
        BatchJob(name, state, match[1], match[2], int(match[3]))
        for name, state in clients.batch.jobs(names.batch).items()
        if (match := pattern.fullmatch(name))
    ]


def described(clients: Clients, names: Names, job: str) -> Mapping[str, Any] | None:
    """A job as AzureML tells it; None where there is none."""
    found = clients.resources.get(f"{names.workspace_id}/jobs/{job}")
    return dict(found.get("properties") or {}) if found else None


def next_name(names: Names, version: str, place: str, there: Iterable[BatchJob]) -> str:
    """The next job's. Its number is one more than that of the last."""
    own = [job.number for job in there if (job.version, job.place) == (version, place)]
    return f"{names.endpoint}-{version}-{place}-{max(own, default=0) + 1}"


def stopped(name: str) -> Step:
    """A step that stops a job. AzureML keeps its record."""
    return Step(Action.DELETE, KIND, name, "stop_job")


def shown(clients: Clients, state: CurrentState) -> list[tuple[str, str, str]]:
    """The deployments for jobs, and the jobs at work on them, as `status` shows what is there."""
    if not state.batch:
        return []
    owns = state.names.owns_deployment
    deployments = [
        ("batch deployment", one.name, one.state if owns(one.name, one.tags) else _THEIRS)
        for one in state.batch
    ]
    try:
        running = [
            (KIND, job.name, job.state) for job in found(clients, state.names) if job.running
        ]
    except (NotAllowed, Unavailable) as e:
        running = [(KIND, "", f"not readable: {e}")]
    return [*deployments, *running]


def why(found: Mapping[str, Any], name: str) -> str:
    """Where people find why a job failed: its logs are those of its step, a job of its own."""
    studio = ((found.get("services") or {}).get("Studio") or {}).get("endpoint") or ""
    page = f" on its page {studio}" if studio else ""
    return (
        f"AzureML keeps the reason in the logs of the job's step{page}: logs/user/error.txt;"
        f" or: az ml job download --name {name} --all"
    )

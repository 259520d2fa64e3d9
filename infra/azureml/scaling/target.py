"""By what a deployment is scaled: what deploy.toml says of requests and CPU; where it says neither,
what the package's rehearsal lets an instance get; where there is none, by CPU."""

from __future__ import annotations

import re
from dataclasses import dataclass

from onnxferry.infra.rehearsed_capacity import (
    Target,
    number,
    reckoned,
    requests_a_minute,
    requests_a_second,
)
from onnxferry.infra.target_tables.azureml import AzureML
from onnxferry.infra.target_tables.scaling import AzureMLScaling
from onnxferry.scripts.rehearse.record import RehearsalRecord

_CPU_PERCENT = 70
_SIZE = re.compile(r"Standard_(?P<series>[A-Z]+)(?P<number>\d+)[a-z]*(_v(?P<version>\d+))?")
# of the old D and DS, whose numbers are not their cores
_OLD_D = {1: 1, 2: 2, 3: 4, 4: 8, 5: 16, 11: 2, 12: 4, 13: 8, 14: 16, 15: 20}


@dataclass(frozen=True)
class Scaled:
    """What deploy.toml says, with the requests and the CPU that the instances are scaled by;
    `count` is how many run when nothing is measured."""

    table: AzureMLScaling
    count: int
    requests: Target | None
    cpu_percent: int | None

    def __str__(self) -> str:
        """ "1 to 4 instances, 70 requests a minute each, 70 % CPU"."""
        table, by = self.table, list[str]()
        if self.requests:
            by.append(f"{number(self.requests.value)} requests a minute each")
        if self.cpu_percent:
            by.append(f"{self.cpu_percent} % CPU")
        timed = [f"times of other limits: {len(table.schedule)}"] if table.schedule else []
        return ", ".join([f"{table.min} to {table.max} instances", *by, *timed])

    @property
    def most(self) -> int:
        """The most instances at any time."""
        return max([self.table.max, *(one.max or 0 for one in self.table.schedule)])


def scaled(config: AzureML, rehearsed: RehearsalRecord | None = None) -> Scaled | None:
    """How the deployments of `config` are scaled by Azure Monitor; None where they are not.
    `rehearsed` is of the package that is deployed."""
    table, serving = config.scaling, config.serving
    if table is None or serving.mode != "managed":
        return None
    requests = Target(table.target) if table.target else None
    if requests is None and table.cpu_percent is None:
        requests = _rehearsed(config, rehearsed)
    cpu = table.cpu_percent or (None if requests else _CPU_PERCENT)
    return Scaled(table, min(max(serving.instance_count, table.min), table.max), requests, cpu)


def cores(size: str) -> int | None:
    """The CPUs of a VM size, by the way most are named; None where the name does not say."""
    found = _SIZE.fullmatch(size)
    if found is None:
        return None
    is_old = found["series"] in ("D", "DS") and found["version"] in (None, "2")
    return _OLD_D.get(int(found["number"])) if is_old else int(found["number"])


def _rehearsed(config: AzureML, rehearsed: RehearsalRecord | None) -> Target | None:
    cpus = cores(config.serving.instance_type)
    if rehearsed is None or rehearsed.cpu_ms <= 0 or not cpus:
        return None
    able = requests_a_second(rehearsed, cpus)  # the server's one worker has many threads
    return reckoned(*requests_a_minute(able), rehearsed, cpus)

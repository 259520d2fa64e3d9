"""What a batch costs, before it is begun: instance-hours by the package's rehearsal or by the first
rows, and their price where a table has it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

from onnxferry.infra.batch_check import Sample
from onnxferry.infra.jobs import Dataset
from onnxferry.infra.prices.table import PriceTable
from onnxferry.scripts.rehearse.record import RehearsalRecord

_START_HOURS = 5 / 60  # of each instance, to fetch the image and the package
_CPUS = {"medium": 1, "large": 2, "xlarge": 4}  # of an instance by its size; Nxlarge has 4 N


@dataclass(frozen=True)
class BatchCost:
    """`rows` are reckoned by the sizes of files and of the first rows; `cpu_ms` is that of one row,
    0 where nothing is known of it, and `measured` says how it is known."""

    rows: int
    cpu_ms: float
    measured: str
    instance_type: str
    instances: int

    @property
    def hours(self) -> float:
        """Of all instances together, with their start."""
        busy = self.rows * self.cpu_ms / 3_600_000 / cpus(self.instance_type)
        return busy + self.instances * _START_HOURS

    def text(self, prices: PriceTable, region: str) -> Iterator[str]:
        """What people read."""
        fleet = f"{self.instances} x {self.instance_type}"
        if not self.cpu_ms:
            unknown = "how long a row takes is not known: rehearse the package"
            yield f"Cost: billed for the time that {fleet} run; {unknown}."
        else:
            each = f"some {self.rows:,} rows of {self.cpu_ms:.1f} ms of CPU each ({self.measured})"
            yield f"Cost: about {self.hours:.2f} instance-hours of {fleet}: {each}, and the start."
        yield self._money(prices, region)

    def _money(self, prices: PriceTable, region: str) -> str:
        meter, found = batch_meter(self.instance_type), prices.regions.get(region)
        price = found.prices.get(meter) if found else None
        if price is None or found is None:
            own = f'prices = FILE in the target\'s table gives yours (meter "{meter}")'
            serves = found.prices.get(self.instance_type) if found else None
            beside = (
                f" (of one that serves: {serves:f} {found.currency})" if serves and found else ""
            )
            return f"What an hour of a job costs in {region} is not known{beside}; {own}."
        dated = f"{price:f} {found.currency} an hour (prices of {found.date}: {found.source})"
        if not self.cpu_ms:
            return f"An hour of one costs {dated}."
        cost = price * Decimal(f"{self.hours:.4f}")
        return f"That is about {cost:.2f} {found.currency}: {dated}."


def batch_meter(instance_type: str) -> str:
    """The meter of an instance in a batch job: SageMaker bills one apart from one that serves,
    Azure any as the virtual machine that it is."""
    return instance_type if instance_type.startswith("Standard_") else f"batch {instance_type}"


def cpus(instance_type: str) -> int:
    """The virtual CPUs of an instance type, by its size ("xlarge") or its number ("F4s")."""
    if numbered := re.fullmatch(r"Standard_[A-Z]+(\d+).*", instance_type):
        return int(numbered[1])
    size = instance_type.rpartition(".")[2]
    found = re.fullmatch(r"(\d+)xlarge", size)
    return 4 * int(found[1]) if found else _CPUS.get(size, 2)


def rows_of(dataset: Dataset, sample: Sample) -> int:
    """About how many rows are missing."""
    if not dataset.format.rows:
        return len(dataset.missing)
    size = sum(file.size for file in dataset.missing)
    return max(1, round(size * sample.rows / sample.size)) if sample.size else 0


def cpu_of_row(sample: Sample, rehearsed: RehearsalRecord | None, sha256: str) -> tuple[float, str]:
    """Milliseconds of one row, and how they are known: by the first rows, which are the user's own,
    or by the rehearsal of this very package."""
    known = rehearsed if rehearsed and rehearsed.sha256 == sha256 else None
    beside = f"; {known.cpu_ms:.1f} for the golden request in the rehearsal" if known else ""
    if sample.rows:
        return sample.cpu_ms / sample.rows, f"of the first rows, measured here{beside}"
    if known:
        return known.cpu_ms, f"of the golden request, rehearsed on {known.machine}"
    return 0.0, ""

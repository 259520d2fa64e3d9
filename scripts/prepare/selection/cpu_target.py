"""The machine that prepares, and the CPU kind that is prepared for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from onnxferry.scoring import cpu, cpu_count
from onnxferry.scripts.machine import processor

AUTO = "auto"
SAFEST = "avx2"  # what is made for it is exact on every x86 CPU
CPUS = (AUTO, *cpu.KINDS)


@dataclass(frozen=True)
class Target:
    """The CPU kind that a model is made for; `host` is this machine's, None where it cannot be
    told."""

    kind: str
    host: str | None

    @staticmethod
    def of(asked: str) -> Target:
        host = cpu.kind()
        return Target((host or SAFEST) if asked == AUTO else asked, host)

    @property
    def mismatch(self) -> str | None:
        """The sentence that latencies are another machine's; None where they are this kind's."""
        if self.kind == self.host:
            return None
        this = (
            f"this machine is {self.host}"
            if self.host
            else "this machine's kind of CPU cannot be told"
        )
        return (
            f"made for {self.kind}, but {this}: the latencies were measured here, and accuracy with"
            f" this machine's instructions; run it on {self.kind} to be sure of the choice"
        )

    def record(self) -> dict[str, Any]:
        """Where it was measured, as it goes into the spec."""
        found: Mapping[str, Any] = {
            "cpu": self.host,
            "model": processor(),
            "cores": cpu_count.available(),
        }
        return {**found, "note": self.mismatch} if self.mismatch else dict(found)

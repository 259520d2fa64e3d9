"""The CPU kind that a model is prepared for, and this machine's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from onnxferry.scoring import cpu
from onnxferry.scripts.prepare.options import ANY, AUTO, HERE


@dataclass(frozen=True)
class CpuTarget:
    """The CPU `kind` that a model is made for, or ANY, and this machine's (None: not known)."""

    kind: str
    host: str | None

    @staticmethod
    def of(asked: str, host: str | None) -> CpuTarget:
        """The kind that --cpu asks for: ANY where that is this machine's and it is not known."""
        return CpuTarget((host or ANY) if asked in (HERE, AUTO) else asked, host)

    @property
    def recorded(self) -> str | None:
        """The kind as the spec has it: None for ANY."""
        return None if self.kind == ANY else self.kind

    @property
    def mismatch(self) -> str | None:
        """The sentence that this machine is of another kind; None where it is not."""
        if self.kind in (self.host, ANY):
            return None
        this = f"machine is {self.host}" if self.host else "machine's kind of CPU cannot be told"
        return (
            f"made for {self.kind}, but this {this}: the latencies were measured here, and accuracy"
            f" with this machine's instructions; run it on {self.kind} to be sure of the choice"
        )

    def record(self) -> dict[str, Any]:
        """Where it was measured, for the spec."""
        found = {"cpu": self.host, "model": cpu.processor(), "cores": cpu.available()}
        return {**found, "note": self.mismatch} if self.mismatch else found

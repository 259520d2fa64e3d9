"""A report that keeps what it is told, for tests."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field

from onnxferry.infra.plan_text import Report
from onnxferry.system.console import Progress


@dataclass
class QuietReport(Report):
    """Prints nothing."""

    notes: list[str] = field(default_factory=list)

    def stage(self, title: str) -> AbstractContextManager[Progress]:
        return nullcontext(lambda text: None)

    def note(self, text: str) -> None:
        self.notes.append(text)

"""A cloud of which a test replaces some operations."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from onnxferry.infra.apply import Executor
from onnxferry.infra.plan import Step
from onnxferry.system.console import Progress


@dataclass
class Replaced:
    """Executes as `cloud` does, but an operation in `own` by what is there."""

    cloud: Executor
    own: dict[str, Callable[[Step, Progress], None]] = field(default_factory=dict)

    @property
    def operations(self) -> Collection[str]:
        return self.cloud.operations

    def execute(self, step: Step, progress: Progress) -> None:
        self.own.get(step.operation, self.cloud.execute)(step, progress)

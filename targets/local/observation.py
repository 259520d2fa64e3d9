"""What one scored request cost, for the server's metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from onnxferry.scoring.timing import RequestMetrics


@dataclass(frozen=True)
class Observation:
    """Of one request: `seconds` by stage (of timing.STAGES), items, tokens that went through the
    model, the rows of its largest run, and a refusal's code."""

    seconds: Mapping[str, float]
    items: int = 0
    tokens: int = 0
    batch: int = 0
    code: str | None = None

    @staticmethod
    def of(metrics: RequestMetrics, status: int, code: str | None) -> Observation:
        """From what a Scorer tells its observer."""
        return Observation(
            dict(metrics.seconds), metrics.items, metrics.tokens, metrics.batch, code
        )

    def to_json(self) -> dict[str, Any]:
        """As JSON data; Observation(**data) reads it."""
        return asdict(self)


Observer: TypeAlias = Callable[[str, Observation], None]
"""Told of each request that was scored, with its model's name, from several threads at once."""


def unobserved(model: str, observed: Observation) -> None:
    """An Observer that nobody asks."""

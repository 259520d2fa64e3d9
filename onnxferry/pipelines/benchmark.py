"""The times of an engine's runs, and what deepsparse.benchmark tells of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PERCENTILES = (25.0, 50.0, 75.0, 90.0, 95.0, 99.0, 99.9)


@dataclass(frozen=True)
class BenchmarkResults:
    """`spans`: the start and the end of each run, in seconds of one clock."""

    spans: Sequence[tuple[float, float]]
    batch_size: int

    @property
    def batch_times(self) -> list[float]:
        """The seconds of each run."""
        return [end - start for start, end in self.spans]

    @property
    def num_batches(self) -> int:
        """How many runs."""
        return len(self.spans)

    @property
    def seconds(self) -> float:
        """From the first start to the last end."""
        return max(end for _, end in self.spans) - min(start for start, _ in self.spans)

    @property
    def items_per_second(self) -> float:
        """Rows a second."""
        return self.batch_size * len(self.spans) / self.seconds

    @property
    def ms_per_batch(self) -> float:
        """The mean milliseconds of a run."""
        return float(np.mean(self.batch_times)) * 1000

    def statistics(self) -> dict[str, Any]:
        """As deepsparse.benchmark exports them; times in milliseconds."""
        times = np.array(self.batch_times) * 1000
        places = zip(PERCENTILES, np.percentile(times, PERCENTILES).tolist(), strict=True)
        return {
            "items_per_sec": self.items_per_second,
            "seconds_ran": self.seconds,
            "iterations": len(times),
            "median": float(np.median(times)),
            "mean": float(times.mean()),
            "std": float(times.std()),
            **{f"{place:2.1f}%": value for place, value in places},
        }


def measure(
    run: Callable[[Any], Any], inputs: Sequence[Any], batch_size: int, count: int, warm_up: int
) -> BenchmarkResults:
    """The times of `count` runs after `warm_up` others, on the inputs in turn. Raises ValueError
    for no run or no input."""
    if count < 1 or not inputs:
        raise ValueError("a benchmark needs at least one iteration and one input")
    spans = []
    for i in range(warm_up + count):
        start = time.perf_counter()
        run(inputs[i % len(inputs)])
        spans.append((start, time.perf_counter()))
    return BenchmarkResults(spans[warm_up:], batch_size)

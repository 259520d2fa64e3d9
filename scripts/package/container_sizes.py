"""What a container of a model is given: the rule by which its memory follows from the model's size.

A server holds its libraries (about 70 MiB), the bodies of requests, what the runs compute, and the
weights once or, where the engine lays them out anew for its kernels, twice.
"""

from __future__ import annotations

from dataclasses import dataclass

PORT = 8080
UID = 10001  # of the server, which owns nothing in its image
GRACE_SECONDS = 45  # more than the server takes at SIGTERM: 5 to drain, 30 for what is in flight
BODIES_MIB = 128  # of requests at once, a part of the base below
_BASE_MIB, _PER_WEIGHT, _STEP_MIB = 384, 2.5, 64
_CPUS = 2  # the engine takes as many threads as its cgroup has CPUs
_READ_MIB = 20  # read and laid out in a second, at the slowest


@dataclass(frozen=True)
class Sizes:
    """`memory_mib` is a limit and, since memory cannot be taken back, what is asked for too. `cpus`
    is a limit, half of it is asked for. `start_seconds` is the most until it is ready."""

    memory_mib: int
    start_seconds: int
    cpus: int = _CPUS

    @staticmethod
    def of(model_bytes: int) -> Sizes:
        """For a model directory of `model_bytes`: 384 MiB and 2.5 times the model, in steps of 64
        MiB; a minute, and a second for each 20 MiB."""
        mib = model_bytes / 2**20
        steps = -(-(_BASE_MIB + _PER_WEIGHT * mib) // _STEP_MIB)
        return Sizes(int(steps) * _STEP_MIB, 60 + int(mib / _READ_MIB))

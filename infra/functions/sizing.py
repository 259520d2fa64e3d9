"""How many requests, threads and bytes an instance of Flex Consumption bears, by its memory: the
one rule that `plan` shows, that deploy writes as settings, and that cost counts with.

One process serves an instance: the platform takes no FUNCTIONS_WORKER_PROCESS_COUNT on this plan,
and a second would hold the model twice. Each request that is let in has a thread of the worker; as
many runs of the model go on at a time as there are cores, and the others wait for one, decode, or
share a run. Azure's default for Python is one request an instance, so that a second one at the same
moment waits for the start of another instance, which takes longer than some answers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from onnxferry.scoring.limits import Limits
from onnxferry.scripts.package import Package

# "Flex Consumption plan hosting", instance sizes: memory in MB -> cores
CORES: Mapping[int, float] = {512: 0.25, 2048: 1, 4096: 2}
# Every instance has so much beside its memory, "as a buffer for system and host processes" (the
# same page). The host is taken to need all of it.
HOST_MB = 272
SPARE = 0.3  # of all that an instance has: for large requests, and for the host where it needs more
REQUESTS_PER_CORE = 4  # one is in the model while others are read, decoded and answered
LEAST_REQUESTS = 2
# A worker that has answered, measured in the rehearsal: Python, the worker, numpy, ONNX Runtime and
# Pillow or tokenizers; and what each byte of a model's files takes once they are loaded.
_WORKER_MIB, _LOADED = 85, 2.0
_COPIES = 3  # of a body: as it came, decompressed, decoded
_THREADS = "PYTHON_THREADPOOL_THREAD_COUNT"
_ENGINE = "ONNXFERRY_ENGINE_THREADS"
# a setting of this name stands for a value of host.json
_HOST_JSON = "AzureFunctionsJobHost__extensions__http__maxConcurrentRequests"


@dataclass(frozen=True)
class Need:
    """What decides: bytes of a package's model files, and the most that one body may have. What a
    rehearsal measured does not, or the settings would change with who deploys."""

    model_bytes: int
    body_bytes: int = Limits.body_bytes

    @staticmethod
    def of(package: Package, environment: Mapping[str, str]) -> Need:
        """Of a package for this target, with the variables of deploy.toml, which may limit bodies
        otherwise."""
        model = sum(m.size for m in package.members if m.path.startswith("model/"))
        return Need(model, Limits().overridden(environment).body_bytes)


@dataclass(frozen=True)
class Sizing:
    """Of one instance: `memory_mb` as configured, `http_concurrency` requests at a time, and as
    many `worker_threads`, `engine_threads` of one run and runs at a time. `needed_mib` is what
    the worker is estimated to take of `allowed_mib`."""

    memory_mb: int
    cores: float
    http_concurrency: int
    worker_threads: int
    engine_threads: int
    needed_mib: int
    allowed_mib: int
    processes: int = 1

    @property
    def fits(self) -> bool:
        """Whether the worker leaves SPARE of the instance free."""
        return self.needed_mib <= self.allowed_mib

    @property
    def settings(self) -> dict[str, str]:
        """The app settings that make it so, for what functionAppConfig does not hold."""
        return {
            _THREADS: str(self.worker_threads),
            _ENGINE: str(self.engine_threads),
            _HOST_JSON: str(self.http_concurrency),
        }

    def text(self) -> str:
        """One line for a plan."""
        requests, threads = self.http_concurrency, self.engine_threads
        serve = f"{_count(requests, 'request')} at a time in one process"
        share = f"{self.memory_mb} MB and {_count(self.cores, 'core')}"
        return f"{share}: {serve}, {_count(threads, 'engine thread')}; {self._memory()}"

    def _memory(self) -> str:
        needed = f"estimated {self.needed_mib} MiB of the {self.allowed_mib} MiB"
        if self.fits:
            return f"{needed} that leave {SPARE:.0%} to spare"
        return f"does NOT fit: {needed} that would leave {SPARE:.0%} to spare{self._larger()}"

    def _larger(self) -> str:
        enough = (mb for mb in sorted(CORES) if self.needed_mib <= allowed_mib(mb))
        larger = next(enough, None)
        if larger:
            return f"; set instance_memory_mb = {larger}"
        return ", and no instance of this plan has more; prepare it in int8, or a smaller model"


def allowed_mib(memory_mb: int) -> int:
    """What the worker of such an instance may take: all but SPARE and the host's part."""
    return int((memory_mb + HOST_MB) * (1 - SPARE)) - HOST_MB


def sizing(memory_mb: int, need: Need, http_concurrency: int | None = None) -> Sizing:
    """For an instance of `memory_mb` (a key of CORES); `http_concurrency` of deploy.toml wins over
    the rule, which lets in fewer where memory for more bodies is missing."""
    cores, allowed = CORES[memory_mb], allowed_mib(memory_mb)
    fixed = _WORKER_MIB + _LOADED * need.model_bytes / 2**20
    body = _COPIES * need.body_bytes / 2**20
    rule = max(LEAST_REQUESTS, int(cores * REQUESTS_PER_CORE))
    fitting = min(rule, max(1, int((allowed - fixed) / body)))
    requests = http_concurrency or fitting
    needed = math.ceil(fixed + requests * body)
    engine = max(1, int(cores))
    return Sizing(memory_mb, cores, requests, requests, engine, needed, allowed)


def _count(number: float, what: str) -> str:
    return f"{number:g} {what}{'' if number == 1 else 's'}"

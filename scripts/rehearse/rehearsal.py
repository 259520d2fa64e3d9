"""rehearse(package): start it, prove it by the golden request, measure it, stop it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace

from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts.golden_check import Reply, mismatch
from onnxferry.scripts.package.contract import Package
from onnxferry.scripts.rehearse.host import Host
from onnxferry.scripts.rehearse.limits import limited
from onnxferry.scripts.rehearse.network import choose
from onnxferry.scripts.rehearse.phases import StartPhases
from onnxferry.scripts.rehearse.start import Surroundings, runtime_of, start
from onnxferry.system.console import ReportStage, stage
from onnxferry.system.errors import RehearsalError


@dataclass(frozen=True)
class Conditions:
    """With `egress` the runtime reaches the network; without, it must not; by default it does not
    where this machine can cut it off. `image`: the platform's, other than its default. `memory_mb`
    (0: no limit) is what all its processes may take together, and `read_only`: they may write
    temporary files alone, as on a serverless platform."""

    egress: bool | None = None
    image: str = ""
    memory_mb: int = 0
    read_only: bool = False


@dataclass(frozen=True)
class Rehearsal:
    """What a rehearsal found: `size` of the package in bytes, the `runtime`'s name, `start_seconds`
    from the start of its process to the first golden answer and `phases` of them, latencies of the
    golden request, one at a time, and `cpu_ms`, the CPU time that each took of all processes that
    serve; `memory_mib` of these at its peak, and what their network and `limits` were."""

    target: str
    size: int
    python: str
    runtime: str
    start_seconds: float
    phases: StartPhases
    latency_p50_ms: float
    latency_p95_ms: float
    cpu_ms: float
    memory_mib: float
    network: str
    answer: bytes
    extra: tuple[Reply, ...]
    memory_mb: int = 0
    memory_limit: str = ""
    read_only: str = ""


def rehearse(
    package: Package,
    extra: Sequence[Request] = (),
    repeats: int = 30,
    conditions: Conditions = Conditions(),
    report: ReportStage = stage,
) -> Rehearsal:
    """Serve `package` by its platform's runtime; send the golden request, each of `extra`, and the
    golden one `repeats` times (at least twice).

    Raises RehearsalError when the runtime does not start or the golden answer differs, UsageError
    for a request that the runtime's own form cannot hold.
    """
    network, runtime = choose(conditions.egress), runtime_of(package.target, conditions.image)
    limits = limited(conditions.memory_mb, conditions.read_only)
    with limits as within, ExitStack() as stack:
        around = Surroundings(network, within)
        host = stack.enter_context(start(package, runtime=runtime, around=around, report=report))
        spec = ModelSpec.read(host.model_dir)
        golden = runtime.wire.golden(spec, _golden_of(spec, package))
        with report("send the golden request"):
            first = _proved(host, golden)
            start_seconds = time.monotonic() - host.began
        for other in golden.others:
            with report(f"send the golden request {other.name}"):
                _proved(host, other)
        replies = []
        for request in extra:
            with report(f"send {len(request.body)} bytes of {request.content_type}"):
                replies.append(host.send(runtime.wire.request(spec, request)))
        with report(f"send the golden request {repeats} times"):
            timed = _timed(host, golden.request, max(repeats, 2))
        # by now a model server has copied its worker's lines into its log
        phases = StartPhases.of(host.healthy, first.seconds, host.log())
        about = (package.target, package.size, package.python, host.title)
        cold, warm = (start_seconds, phases), (*timed, host.memory_mib())
        host.check_memory()
        runtime.prove(host, host.unpacked)
        done = Rehearsal(*about, *cold, *warm, network.said, first.body, tuple(replies))
        mb, held = within.memory.mb, within.memory.said
        return replace(done, memory_mb=mb, memory_limit=held, read_only=within.files.said)


def _golden_of(spec: ModelSpec, package: Package) -> Golden:
    if golden := spec.golden:
        return golden
    lacking = "model_spec.json has no golden request; prepare the model again with an example"
    raise RehearsalError(f"{package.path}: {lacking}")


def _proved(host: Host, golden: Golden) -> Reply:
    """The answer to one golden request."""
    reply = host.send(golden.request)
    if found := mismatch(golden, reply):
        if reply.status != 200:
            raise host.failure(found)
        raise RehearsalError(
            f"{host.title}: {found}\nDo not deploy this package. Compare pins.txt with the"
            " tools in model_spec.json, or prepare the model again"
        )
    return reply


def _timed(host: Host, request: Request, repeats: int) -> tuple[float, float, float]:
    """The median and the 95th percentile of the latency, and the CPU time of a request, each in
    milliseconds."""
    before = host.cpu_seconds()
    seconds = [host.send(request).seconds for _ in range(repeats)]
    used = (host.cpu_seconds() - before) / repeats
    cuts = statistics.quantiles(seconds, n=100, method="inclusive")
    return cuts[49] * 1000, cuts[94] * 1000, used * 1000

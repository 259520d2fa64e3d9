"""The loads that a server is put under: a lone client, several, and requests that arrive."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from onnxferry.scripts.benchmark import inputs
from onnxferry.scripts.benchmark.server import protocols
from onnxferry.scripts.benchmark.server.load import Load, LoadGenerator, LoadPlan
from onnxferry.scripts.benchmark.server.process import RunningServer, Usage
from onnxferry.scripts.benchmark.server.protocols import Answer

LONE = "lone"
CHECKED = 32  # texts that are asked alone at first, and whose answers under load are compared


@dataclass(frozen=True)
class LoadSettings:
    """The flags, which --help explains. `seconds` of a step count, `warm_up` before them do not;
    `shares`: of the best rate with clients, 0 to 1, at which requests arrive; `idle`: seconds
    between the requests of a lone client."""

    clients: tuple[int, ...] = (1, 8, 32, 64)
    shares: tuple[float, ...] = ()
    rates: tuple[float, ...] = ()
    idle: float | None = None
    seconds: float = 5.0
    warm_up: float = 1.0
    rounds: int = 2
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Step:
    """One load. `name` is the same for all servers; `offered`: requests that arrive a second;
    `wrong` of the `load.kept` answers are not those that the server gave when it had nothing else
    to do; `cpu`: seconds that the server's processes computed in it."""

    name: str
    load: Load
    wrong: int
    cpu: float | None = None
    usage: Usage | None = None
    offered: float | None = None


def closed(clients: int) -> str:
    """The name of the step with so many."""
    return f"{clients} client{'s' if clients > 1 else ''}"


@dataclass(frozen=True)
class Loads:
    """All steps of one life of a server. `alone`: its answers to the first of `bodies`."""

    server: RunningServer
    bodies: tuple[bytes, ...]
    alone: Sequence[Answer]
    settings: LoadSettings
    seed: int

    def play(self, generator: LoadGenerator) -> Iterator[Step]:
        """Each step as it is done."""
        best, settings = 0.0, self.settings
        if settings.idle:
            yield self._step(generator, LONE, self._plan(pause=settings.idle))
        for clients in settings.clients:
            yield (step := self._step(generator, closed(clients), self._plan(clients=clients)))
            best = max(best, step.load.rate)
        offered = {f"{share:.0%}": share * best for share in settings.shares}
        offered |= {f"{rate:g}/s": rate for rate in settings.rates}
        for name, rate in offered.items():
            if rate:
                yield self._step(generator, name, self._plan(arrivals=self._arrivals(rate)), rate)

    def _plan(
        self, clients: int = 1, pause: float = 0.0, arrivals: tuple[float, ...] | None = None
    ) -> LoadPlan:
        return LoadPlan(
            self.server.url,
            self.bodies,
            self.settings.warm_up + self.settings.seconds,
            self.server.headers,
            warm_up=self.settings.warm_up,
            clients=clients,
            pause=pause,
            arrivals=arrivals,
            kept=len(self.alone),
        )

    def _arrivals(self, rate: float) -> tuple[float, ...]:
        count = rate * (self.settings.warm_up + self.settings.seconds)
        return tuple(inputs.arrivals(rate, max(1, round(count)), self.seed))

    def _step(
        self, generator: LoadGenerator, name: str, plan: LoadPlan, offered: float | None = None
    ) -> Step:
        before = self.server.usage()
        load = generator.play(plan)
        after = self.server.usage()
        cpu = after.cpu - before.cpu if before and after else None
        wrong = sum(not _says(body, self.alone[number]) for number, body in load.kept)
        return Step(name, load, wrong, cpu, after, offered)


def _says(body: bytes, answer: Answer) -> bool:
    try:
        return protocols.same(protocols.read(body), answer)
    except ValueError:
        return False

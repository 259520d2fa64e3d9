"""What was measured of servers, as tables, as data, and as a document's section."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from onnxferry.scripts import sections, tables
from onnxferry.scripts.benchmark.server import figures
from onnxferry.scripts.benchmark.server.rounds import ServerResult
from onnxferry.scripts.benchmark.server.steps import LONE, LoadSettings, closed
from onnxferry.scripts.machine import machine

Rows = tuple[list[str], list[list[str]]]  # the columns, and a row for each server


@dataclass(frozen=True)
class ServerBenchmark:
    """What was measured: `asked` in words. `generator`: the load generator against a server that
    does nothing; `bare`: seconds of lone requests to the graph in a process. Servers that failed
    were `skipped`."""

    title: str
    asked: str
    settings: LoadSettings
    servers: tuple[ServerResult, ...]
    generator: ServerResult | None = None
    bare: tuple[float, ...] = ()
    skipped: tuple[str, ...] = ()

    @property
    def first(self) -> ServerResult:
        """The server that the others are compared with."""
        return self.servers[0]


def sections_of(done: ServerBenchmark) -> dict[str, Rows]:
    """The tables by their headings, without those that have no figures."""
    names = [closed(clients) for clients in done.settings.clients]
    offered = [f"{share:.0%}" for share in done.settings.shares]
    offered += [f"{rate:g}/s" for rate in done.settings.rates]
    found = {"Right answers a second": _table(done, names, figures.rate)}
    found["Latency in milliseconds, p50 / p99"] = _table(done, names, figures.latency)
    if len(done.servers) > 1:
        found[f"{done.first.spec.name}, times the rate of the others"] = _ratios(done, names)
    if offered:
        heading = "Requests that arrive: rate, then latency from the arrival in ms, p50 / p99"
        found[heading] = _table(done, offered, figures.arriving)
    if done.settings.idle:
        found["A lone request to an idle server, ms"] = _lone(done)
    found["What it takes"] = _costs(done)
    return found


def _table(done: ServerBenchmark, names: list[str], cell: figures.Cell) -> Rows:
    rows = [[s.spec.name, *(cell(s.steps(name)) for name in names)] for s in done.servers]
    return ["server", *names], rows


def _ratios(done: ServerBenchmark, names: list[str]) -> Rows:
    rows = []
    for other in done.servers[1:]:
        pairs = [(done.first.steps(name), other.steps(name)) for name in names]
        rows.append([other.spec.name, *(figures.times(*pair) for pair in pairs)])
    return ["server", *names], rows


def _lone(done: ServerBenchmark) -> Rows:
    bare = figures.percentiles(done.bare)
    rows = [["onnxruntime, in a process", *figures.shown(bare), ""]] if bare else []
    for server in done.servers:
        at = figures.percentiles(figures.latencies(server.steps(LONE)))
        more = f"{1000 * (at[0] - bare[0]):+.2f}" if at and bare else ""
        rows.append([server.spec.name, *figures.shown(at), more])
    return ["server", "p50", "p99", "p50, more than in a process"], rows


def _costs(done: ServerBenchmark) -> Rows:
    columns = ["server", "may use", "CPU ms a request", "the generator's", "MiB", "processes"]
    columns += ["threads", "start s", f"answers of {done.first.spec.name}"]
    columns += ["errors", "other answers under load"]
    return columns, [_cost(done, server) for server in done.servers]


def _cost(done: ServerBenchmark, server: ServerResult) -> list[str]:
    steps = server.all_steps()
    most = server.steps(closed(max(done.settings.clients))) if done.settings.clients else steps
    used = [step.usage for step in steps if step.usage]
    tops = [f"{max(values)}" for values in zip(*map(figures.sizes, used), strict=True)]
    wrong, kept = sum(s.wrong for s in steps), sum(len(s.load.kept) for s in steps)
    return [
        server.spec.name,
        server.spec.budget,
        figures.milliseconds(most),
        figures.generators(most),
        *(tops or [""] * 3),
        figures.starts(server),
        figures.agreement(server, done.first),
        figures.errors(steps),
        f"{wrong} of {kept}",
    ]


def heading(done: ServerBenchmark) -> str:
    """What was asked, and how, in a few sentences."""
    settings = done.settings
    each = f"{settings.seconds:g} s a cell after {settings.warm_up:g} s of warm-up"
    turns = f"{settings.rounds} rounds in turns, the second in reverse order, each server alone"
    return f"{done.asked}, one a request, over HTTP on loopback; {each}, {turns}. {_own(done)}"


def _own(done: ServerBenchmark) -> str:
    if done.generator is None:
        return "The load generator's own cost was not measured: that needs uvicorn."
    one, many = done.generator.all_steps()
    p50 = 1000 * figures.percentiles(one.load.latencies)[0]
    cost = f"{1000 * many.load.cpu / many.load.asked:.2f} ms of CPU a request"
    able = f"{many.load.rate:.0f} requests a second with {many.name} ({cost})"
    return f"The load generator asks a server that does nothing {able}, and one in {p50:.2f} ms."


def markdown(done: ServerBenchmark, command: str) -> str:
    """The section of a document."""
    parts = [f"{heading(done)} {machine()}."]
    for name, rows in sections_of(done).items():
        parts += [f"**{name}**", tables.markdown(*rows)]
    if done.skipped:
        parts.append(f"Did not start or answer where this was measured: {', '.join(done.skipped)}.")
    return sections.section(done.title, command, *parts)


def data(done: ServerBenchmark) -> dict[str, Any]:
    """What --export and --output json write."""
    return {
        "title": done.title,
        "asked": done.asked,
        "machine": machine(),
        "plan": {k: v for k, v in asdict(done.settings).items() if k != "headers"},
        "servers": [_record(server) for server in done.servers],
        "skipped": list(done.skipped),
        "generator": _record(done.generator) if done.generator else None,
        "bare_ms": figures.percentiles([1000 * s for s in done.bare]),
    }


def _record(server: ServerResult) -> dict[str, Any]:
    rounds = [
        {"start_seconds": r.start, "steps": {n: figures.record(s) for n, s in r.steps.items()}}
        for r in server.rounds
    ]
    return {"name": server.spec.name, "may_use": server.spec.budget, "rounds": rounds}

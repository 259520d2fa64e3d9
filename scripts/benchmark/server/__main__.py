"""onnxferry benchmark --server SERVER ...: the command line."""

from __future__ import annotations

import importlib.util
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click import option

from onnxferry.scripts import sections, tables
from onnxferry.scripts.benchmark import inputs
from onnxferry.scripts.benchmark.server import bare, report, rounds, specs
from onnxferry.scripts.benchmark.server.load import LoadGenerator
from onnxferry.scripts.benchmark.server.protocols import PROTOCOLS
from onnxferry.scripts.benchmark.server.steps import LoadSettings
from onnxferry.system import console, files, options
from onnxferry.system.errors import BenchmarkError, UsageError
from onnxferry.system.options import COUNT, FILE, FOLDER

DATA = click.Path(exists=True, dir_okay=False, path_type=Path)
SECONDS = click.FloatRange(0, min_open=True)
SERVER = (
    "A server, repeat it: a URL of one that runs, PROTOCOL:model=NAME@URL, or KIND@FOLDER, which is"
    f" started anew for each round. Protocols: {', '.join(PROTOCOLS)}. KIND is onnxferry or one of"
    " --peers. Options before the @: name, model, protocol, path; NAMES in capitals are set in its"
    " environment, others go to its command."
)
PEERS = "A YAML file of more kinds: how each is started, and what it may use."
DATA_HELP = "Ask the items of a file in order, one a request: .tsv, .txt, .jsonl, SQuAD's .json."
CLIENTS = "Clients at once, each of which asks again when it is answered."
LOAD = "Then let requests arrive at so many percent of the best rate that the clients reached."
RATE = "Let so many requests arrive a second; repeat it."
IDLE = "First a lone client that waits so many milliseconds after each answer."
BARE = "A folder with the graph, config.json and tokenizer.json: lone requests in a process, too."
HEADER = "'NAME: VALUE', sent with each request, such as an API key; it is not printed."
TASKS = {".txt": "feature-extraction", ".json": "question-answering"}  # by a file's suffix
# a document's command leaves out where results go, and keys
NOT_SHOWN = {"--out", "--export", "-x", "--output", "--title", "--header"}
TRIVIAL = ("-m", "uvicorn", "--app-dir", str(Path(__file__).parent), "--port", "$PORT")


def numbers(ctx: click.Context, param: click.Parameter, value: str) -> tuple[int, ...]:
    """Of 1,8,32. Raises click.BadParameter."""
    parts = [part.strip() for part in value.split(",") if part.strip()]
    if not all(part.isdecimal() and int(part) for part in parts):
        raise click.BadParameter(f"{value}: expected integers above 0, like 1,8,32", ctx, param)
    return tuple(map(int, parts))


@options.command()
@option("--server", multiple=True, required=True, metavar="SERVER", help=SERVER)
@option("--peers", type=DATA, help=PEERS)
@option("--data", type=DATA, required=True, help=DATA_HELP)
@option("--limit", default=512, type=COUNT, help="Of them so many, from the first on.")
@option("--clients", default="1,8,32,64", callback=numbers, metavar="N,N", help=CLIENTS)
@option("--load", default="", callback=numbers, metavar="PERCENT,PERCENT", help=LOAD)
@option("--rate", multiple=True, type=SECONDS, help=RATE)
@option("--idle", type=SECONDS, metavar="MS", help=IDLE)
@option("--bare", type=FOLDER, help=BARE)
@option("-t", "--time", "seconds", default=5.0, type=SECONDS, help="Seconds of each load.")
@option("--warm-up", default=1.0, type=click.FloatRange(0), help="Seconds before, not counted.")
@option("--rounds", default=2, type=COUNT, help="Rounds; the servers take turns.")
@option("--header", multiple=True, help=HEADER)
@option("--title", default="Servers", help="Of the document's section.")
@option("-x", "--export", type=FILE, help="A JSON file of all figures.")
@option("--out", type=FILE, help="A Markdown file: write or renew the section of this title.")
@options.output
def command(**flags: Any) -> None:
    """Measure servers side by side over HTTP: right answers a second, latency, CPU, memory and
    start."""
    chosen = specs.parse(flags["server"], specs.kinds(flags["peers"]))
    if flags["bare"] and not flags["idle"]:
        raise UsageError("--bare goes with --idle")
    texts = _texts(flags["data"], flags["limit"])
    settings = LoadSettings(
        clients=flags["clients"],
        shares=tuple(percent / 100 for percent in flags["load"]),
        rates=flags["rate"],
        idle=flags["idle"] and flags["idle"] / 1000,
        headers=dict(map(_header, flags["header"])),
        **{name: flags[name] for name in ("seconds", "warm_up", "rounds")},
    )
    with console.stage(f"{len(chosen)} servers") as progress, LoadGenerator() as generator:
        own = _generators_own(generator, progress)
        alone = _bare(flags, texts, settings)
        found = rounds.measure(chosen, texts, settings, generator, progress)
        alone += _bare(flags, texts, settings) if settings.rounds > 1 else []
    skipped = _skipped(found)
    found = [server for server in found if not server.failure]
    asked = f"The first {len(texts)} items of {sections.shown(flags['data'])}"
    done = report.ServerBenchmark(
        flags["title"], asked, settings, tuple(found), own, tuple(alone), skipped
    )
    _write(done, flags)


def _skipped(found: Sequence[rounds.ServerResult]) -> tuple[str, ...]:
    """The names of those that failed, each told. Raises BenchmarkError when none is left."""
    failed = [server for server in found if server.failure]
    if len(failed) == len(found):
        raise BenchmarkError("\n".join(server.failure for server in failed))
    for server in failed:
        console.err.print(f"[yellow]skipped[/yellow] {server.spec.name}")
        console.err.print(server.failure, markup=False)
    return tuple(server.spec.name for server in failed)


class _AnyLabels(tuple[str, ...]):
    """What a server's labels are is not known, nor needed to ask it."""

    def __contains__(self, name: object) -> bool:
        return True


def _texts(data: Path, limit: int) -> list[Any]:
    task = TASKS.get(data.suffix, "text-classification")
    return inputs.read(inputs.BenchmarkInputs(data=data), task, _AnyLabels())[:limit]


def _header(text: str) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise UsageError("--header: expected 'NAME: VALUE'")
    return name.strip(), value.strip()


def _generators_own(
    generator: LoadGenerator, progress: console.Progress
) -> rounds.ServerResult | None:
    """The load generator against a server that does nothing."""
    if importlib.util.find_spec("uvicorn") is None:
        return None
    words = (sys.executable, *TRIVIAL, "--no-access-log", "--log-level", "warning", "trivial:app")
    kind = specs.ServerKind(words)
    spec = specs.ServerSpec("nothing", ".", PROTOCOLS["onnxferry"], kind=kind)
    settings = LoadSettings(clients=(1, 32), seconds=0.7, warm_up=0.2, rounds=1)
    (found,) = rounds.measure([spec], ["text"], settings, generator, progress)
    return None if found.failure else found


def _bare(flags: dict[str, Any], texts: list[Any], settings: LoadSettings) -> list[float]:
    if not flags["bare"]:
        return []
    task = TASKS.get(flags["data"].suffix, "text-classification")
    return bare.lone(flags["bare"], task, texts, settings)


def _write(done: report.ServerBenchmark, flags: dict[str, Any]) -> None:
    text = json.dumps(report.data(done), indent=2)
    if flags["output"] == "json":
        click.echo(text)
    else:
        console.out.print(report.heading(done))
        for name, rows in report.sections_of(done).items():
            console.out.print(tables.terminal(name, *rows))
    if export := flags["export"]:
        files.write_text(export, text + "\n")
    if out := flags["out"]:
        again = sections.repeated("scripts.benchmark", sys.argv[1:], NOT_SHOWN)
        sections.replace(out, done.title, report.markdown(done, again))


if __name__ == "__main__":
    command()

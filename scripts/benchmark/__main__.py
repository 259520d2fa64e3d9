"""python -m scripts.benchmark --engine KIND@FOLDER ...: the command line."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from click import option

from onnxferry.scoring import cpu
from onnxferry.scripts import sections
from onnxferry.scripts.benchmark import figures, inputs, model, plot, report, rounds, specs
from onnxferry.scripts.benchmark.engines import ENGINES
from onnxferry.system import console, files, options
from onnxferry.system.errors import UsageError
from onnxferry.system.options import COUNT, FILE

DATA = click.Path(exists=True, dir_okay=False, path_type=Path)
RATE = click.FloatRange(0, min_open=True)
KINDS = ", ".join(ENGINES)
SPEC = "KIND[:OPTION=VALUE,...]@FOLDER"
ENGINE = f"An engine and its model; repeat it. Kinds: {KINDS}."
PYTHON = "The interpreter for engines of a kind, or of a name, whose library this one lacks."
BASELINE = "Compare with this engine, or the fastest of this kind; repeat it. Default: the first."
SCENARIO = "One request after the other, --streams at once, arriving by --rate, or cold starts."
LENGTHS = "Ask English texts of so many words: lognormal:MEDIAN:SIGMA or uniform:LEAST:MOST ..."
SERVER = "Measure servers over HTTP instead; its own flags: benchmark --server SERVER --help."
TIME = "Least seconds of a round; it always asks everything once."
# a document's command leaves out where results go
NOT_SHOWN = {"--out", "--export", "-x", "--plot", "--python", "--output", "--title"}


class _ServersToo(options.FerryCommand):
    """With --server the command that measures servers, which has flags of its own; with an .onnx
    file or its folder the one that has deepsparse.benchmark's."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Of whichever command is meant."""
        if any(word.partition("=")[0] == "--server" for word in args):
            from onnxferry.scripts.benchmark.server.__main__ import command as servers

            return servers.make_context(info_name, args, parent, **extra)
        if model.is_asked(args):
            return model.command.make_context(info_name, args, parent, **extra)
        return super().make_context(info_name, args, parent, **extra)

    def invoke(self, ctx: click.Context) -> Any:
        """Raises SystemExit where it fails in a known way."""
        return super().invoke(ctx) if ctx.command is self else ctx.command.invoke(ctx)


@options.command(cls=_ServersToo)
@option("-e", "--engine", multiple=True, required=True, metavar=SPEC, help=ENGINE)
@option("--server", expose_value=False, metavar="SERVER", help=SERVER)
@option("--python", multiple=True, metavar="KIND=PATH", help=PYTHON)
@option("--baseline", multiple=True, metavar="NAME", help=BASELINE)
@option("--against", multiple=True, hidden=True)  # the older name of --baseline
@option("-s", "--scenario", type=click.Choice(rounds.SCENARIOS), default="sync", help=SCENARIO)
@option("--streams", type=COUNT, help="Requests at once, async and rate. Default: the CPUs.")
@option("--rate", type=RATE, help="Requests that arrive a second, for rate.")
@option("--task", help="By default what the first engine's folder tells.")
@option("--text", help="Ask this text ...")
@option("--copies", type=COUNT, help="... so many times.")
@option("--lengths", metavar="DISTRIBUTION", help=LENGTHS)
@option("--items", type=COUNT, help="... so many of them.")
@option("--data", type=DATA, help="Ask the items of a file, as evaluate reads it ...")
@option("--limit", type=COUNT, help="... so many of them, evenly over the file.")
@option("-b", "--batch", default=1, type=COUNT, help="Items a request.")
@option("--rounds", default=5, type=COUNT, help="Rounds that count; engines take turns.")
@option("--warm-up", default=1, type=click.IntRange(0), help="Rounds before them.")
@option("-t", "--time", "seconds", default=0.0, type=click.FloatRange(0), help=TIME)
@option("--cores", type=COUNT, help="CPUs that each engine may use. Default: all.")
@option("--seed", default=0, help="Of the texts and of the arrivals.")
@option("--title", help="Of the document's section. Default: the task and the scenario.")
@option("-x", "--export", type=FILE, help="A JSON file with deepsparse.benchmark's keys.")
@option("--plot", type=FILE, help="A picture, .svg or .png.")
@option("--out", type=FILE, help="A Markdown file: write or renew the section of this title.")
@options.output
def command(**flags: Any) -> None:
    """Measure engines side by side: speed, latency, memory, cold start, and whether they answer the
    same. `onnxferry benchmark model.onnx` takes deepsparse.benchmark's flags instead: -b -s -i -t
    -w -nstreams -ncores -x."""
    chosen = specs.parse(flags["engine"])
    task = flags["task"] or specs.task_of(chosen)
    settings = _settings(flags, task, chosen)
    names = flags["baseline"] + flags["against"]
    figures.check_names(names, [*(s.name for s in chosen), *(s.kind for s in chosen)])
    asked, labels = _inputs(flags), specs.labels_of(chosen)
    requests = inputs.requests(inputs.read(asked, task, labels), flags["batch"])

    def warn(text: str) -> None:
        console.err.print(f"[yellow]skipped[/yellow] {text}")

    with console.stage(f"{len(chosen)} engines, {settings.scenario}") as progress:
        found = rounds.measure(chosen, requests, settings, progress, warn)
    measured = [engine.spec for engine in found]
    done = report.Benchmark(
        title=flags["title"] or f"{task}, {settings.scenario}",
        asked=str(asked),
        batch=flags["batch"],
        labels=len(labels),
        settings=settings,
        engines=tuple(found),
        baselines=tuple(figures.baselines(found, names, settings.scenario)),
        skipped=tuple(spec.name for spec in chosen if spec not in measured),
    )
    _write(done, flags)


def _settings(
    flags: dict[str, Any], task: str, chosen: Sequence[specs.EngineSpec]
) -> rounds.BenchmarkSettings:
    scenario, rate, streams = flags["scenario"], flags["rate"], flags["streams"]
    concurrent = scenario in ("async", "rate")
    if (scenario == "rate") != (rate is not None):
        raise UsageError("--scenario rate and --rate REQUESTS_A_SECOND go together")
    if streams and not concurrent:
        raise UsageError("--streams is for --scenario async and rate")
    if scenario == "cold" and (several := [s.name for s in chosen if specs.searched(s)]):
        raise UsageError(
            f"{several[0]}: a cold start is not searched; give one value of each count"
        )
    cpus = (flags["cores"] or cpu.available()) if concurrent else 1
    pythons = dict(python(text, chosen) for text in flags["python"])
    same = {name: flags[name] for name in ("rounds", "warm_up", "seconds", "seed", "cores")}
    return rounds.BenchmarkSettings(
        task, scenario, streams=streams or cpus, rate=rate, pythons=pythons, **same
    )


def python(text: str, chosen: Sequence[specs.EngineSpec]) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not sign or name not in {*(spec.name for spec in chosen), *ENGINES}:
        raise UsageError(f"--python {text}: expected KIND=PATH, where KIND is one of {KINDS}")
    return name, path


def _inputs(flags: dict[str, Any]) -> inputs.BenchmarkInputs:
    for flag, owner in (("copies", "text"), ("items", "lengths"), ("limit", "data")):
        if flags[flag] and not flags[owner]:
            raise UsageError(f"--{flag} goes with --{owner}")
    count = flags["copies"] or flags["items"] or flags["limit"]
    text, lengths, data = flags["text"], flags["lengths"], flags["data"]
    return inputs.BenchmarkInputs(text, lengths, data, count, flags["seed"])


def _write(done: report.Benchmark, flags: dict[str, Any]) -> None:
    text = json.dumps(report.data(done), indent=2)
    if flags["output"] == "json":
        click.echo(text)
    else:
        console.out.print(report.table(done))
        console.out.print(report.terms_table(done))
    if export := flags["export"]:
        files.write_text(export, text + "\n")
    if picture := flags["plot"]:
        plot.save(done, picture)
    if out := flags["out"]:
        again = sections.repeated("scripts.benchmark", sys.argv[1:], NOT_SHOWN)
        shown = picture and os.path.relpath(picture, out.parent)
        sections.replace(out, done.title, report.markdown(done, again, shown))


if __name__ == "__main__":
    command()

"""python -m scripts.benchmark --engine KIND@FOLDER ...: the command line."""

from __future__ import annotations

import json
import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from onnxferry.scoring import cpu
from onnxferry.scripts import sections
from onnxferry.scripts.benchmark import figures, inputs, plot, report, specs
from onnxferry.scripts.benchmark.engines import ENGINES
from onnxferry.scripts.benchmark.report import Benchmark
from onnxferry.scripts.benchmark.rounds import SCENARIOS, BenchmarkSettings, measure
from onnxferry.system import console, options
from onnxferry.system.errors import UsageError

FILE = click.Path(dir_okay=False, path_type=Path)
DATA = click.Path(exists=True, dir_okay=False, path_type=Path)
COUNT, NOT_NEGATIVE = click.IntRange(1), click.IntRange(0)
RATE, SECONDS = click.FloatRange(0, min_open=True), click.FloatRange(0)
SCENARIO = click.Choice(SCENARIOS)
KINDS = ", ".join(ENGINES)
SPEC = "KIND[:OPTION=VALUE,...]@FOLDER"
# options that say where results go, which a document's command leaves out
NOT_SHOWN = {"--out", "--export", "-x", "--plot", "--python", "--output", "--title"}


@options.command()
@click.option(
    "-e",
    "--engine",
    "engines",
    multiple=True,
    required=True,
    metavar=SPEC,
    help=f"An engine and its model; repeat it. Kinds: {KINDS}.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="KIND=PATH",
    help="The interpreter for engines of a kind, or of a name, whose library this one lacks.",
)
@click.option(
    "--baseline",
    multiple=True,
    metavar="NAME",
    help="Compare with this engine, or the fastest of this kind; repeat it. Default: the first.",
)
@click.option("--against", multiple=True, hidden=True)  # the older name of --baseline
@click.option(
    "-s",
    "--scenario",
    type=SCENARIO,
    default="sync",
    help="One request after the other, --streams at once, arriving by --rate, or cold starts.",
)
@click.option("--streams", type=COUNT, help="Requests at once, async and rate. Default: the CPUs.")
@click.option("--rate", type=RATE, help="Requests that arrive a second, for rate.")
@click.option("--task", help="By default what the first engine's folder tells.")
@click.option("--text", help="Ask this text ...")
@click.option("--copies", type=COUNT, help="... so many times.")
@click.option(
    "--lengths",
    metavar="DISTRIBUTION",
    help="Ask English texts of so many words: lognormal:MEDIAN:SIGMA or uniform:LEAST:MOST ...",
)
@click.option("--items", type=COUNT, help="... so many of them.")
@click.option("--data", type=DATA, help="Ask the items of a file, as evaluate reads it ...")
@click.option("--limit", type=COUNT, help="... so many of them, evenly over the file.")
@click.option("-b", "--batch", default=1, type=COUNT, help="Items a request.")
@click.option("--rounds", default=5, type=COUNT, help="Rounds that count; engines take turns.")
@click.option("--warm-up", default=1, type=NOT_NEGATIVE, help="Rounds before them.")
@click.option(
    "-t",
    "--time",
    "seconds",
    default=0.0,
    type=SECONDS,
    help="Least seconds of a round; it always asks everything once.",
)
@click.option("--cores", type=COUNT, help="CPUs that each engine may use. Default: all.")
@click.option("--seed", default=0, help="Of the texts and of the arrivals.")
@click.option("--title", help="Of the document's section. Default: the task and the scenario.")
@click.option("-x", "--export", type=FILE, help="A JSON file with deepsparse.benchmark's keys.")
@click.option("--plot", "picture", type=FILE, help="A picture, .svg or .png.")
@click.option("--out", type=FILE, help="A Markdown file: write or renew the section of this title.")
@options.output
def command(**flags: Any) -> None:
    """Measure engines side by side: speed, latency, memory, cold start, and whether they answer the
    same."""
    chosen = specs.parse(flags["engines"])
    task = flags["task"] or specs.task_of(chosen)
    settings = _settings(flags, task, chosen)
    names = flags["baseline"] + flags["against"]
    figures.check_names(names, [*(s.name for s in chosen), *(s.kind for s in chosen)])
    asked, labels = _inputs(flags), specs.labels_of(chosen)
    requests = inputs.requests(inputs.read(asked, task, labels), flags["batch"])
    with console.stage(f"{len(chosen)} engines, {settings.scenario}") as progress:
        found = measure(chosen, requests, settings, progress, _warn)
    measured = [engine.spec for engine in found]
    done = Benchmark(
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
) -> BenchmarkSettings:
    scenario, rate, streams = flags["scenario"], flags["rate"], flags["streams"]
    concurrent = scenario in ("async", "rate")
    if (scenario == "rate") != (rate is not None):
        raise UsageError("--scenario rate and --rate REQUESTS_A_SECOND go together")
    if streams and not concurrent:
        raise UsageError("--streams is for --scenario async and rate")
    same = {name: flags[name] for name in ("rounds", "warm_up", "seconds", "seed", "cores")}
    cpus = flags["cores"] or cpu.available()
    return BenchmarkSettings(
        task,
        scenario,
        streams=streams or (cpus if concurrent else 1),
        rate=rate,
        pythons=dict(_python(text, chosen) for text in flags["pythons"]),
        **same,
    )


def _python(text: str, chosen: Sequence[specs.EngineSpec]) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    if not sign or name not in {*(spec.name for spec in chosen), *ENGINES}:
        raise UsageError(f"--python {text}: expected KIND=PATH, where KIND is one of {KINDS}")
    return name, path


def _inputs(flags: dict[str, Any]) -> inputs.BenchmarkInputs:
    for flag, owner in (("copies", "text"), ("items", "lengths"), ("limit", "data")):
        if flags[flag] and not flags[owner]:
            raise UsageError(f"--{flag} goes with --{owner}")
    count = flags["copies"] or flags["items"] or flags["limit"]
    return inputs.BenchmarkInputs(
        flags["text"], flags["lengths"], flags["data"], count, flags["seed"]
    )


def _warn(text: str) -> None:
    console.err.print(f"[yellow]skipped[/yellow] {text}")


def _write(done: Benchmark, flags: dict[str, Any]) -> None:
    text = json.dumps(report.data(done), indent=2)
    if flags["output"] == "json":
        click.echo(text)
    else:
        console.out.print(report.table(done))
    if export := flags["export"]:
        export.parent.mkdir(parents=True, exist_ok=True)
        export.write_text(text + "\n", encoding="utf-8")
    if flags["picture"]:
        plot.save(done, flags["picture"])
    if out := flags["out"]:
        picture = flags["picture"] and os.path.relpath(flags["picture"], out.parent)
        sections.replace(out, done.title, report.markdown(done, _repeated(sys.argv[1:]), picture))


def _repeated(given: Sequence[str]) -> str:
    """The command that measures this again, an option a line. A path outside of the working folder
    is shown by its last part."""
    lines = [["python", "-m", "scripts.benchmark"]]
    for word in given:
        if word.startswith("-"):
            lines.append([word])
        else:
            lines[-1].append(Path(word).name if Path(word).is_absolute() else word)
    kept = [line for line in lines if line[0].partition("=")[0] not in NOT_SHOWN]
    return " \\\n    ".join(shlex.join(line) for line in kept)


if __name__ == "__main__":
    command()

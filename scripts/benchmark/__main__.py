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
from onnxferry.scripts.benchmark.rounds import SCENARIOS, Plan, measure
from onnxferry.system import console, options
from onnxferry.system.errors import UsageError

FILE = click.Path(dir_okay=False, path_type=Path)
# in a document's command
HIDDEN = {"--out", "--export", "-x", "--plot", "--python", "--output", "--title"}


@options.command()
@click.option(
    "-e",
    "--engine",
    "engines",
    multiple=True,
    required=True,
    metavar="KIND[:OPTION=VALUE,...]@FOLDER",
    help=f"An engine and its model; repeat it. Kinds: {', '.join(ENGINES)}.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="KIND=PATH",
    help=(
        "The interpreter for a kind of engine, "
        "or for one by its name, where this one lacks its library."
    ),
)
@click.option(
    "--against",
    multiple=True,
    metavar="NAME",
    help=(
        "Compare with this engine or, of several of this kind, "
        "with the fastest; repeat it. Default: the first one."
    ),
)
@click.option(
    "-s",
    "--scenario",
    type=click.Choice(SCENARIOS),
    default="sync",
    help=(
        "One request after the other, "
        "--streams at a time, at the times of --rate, or fresh processes."
    ),
)
@click.option(
    "--streams",
    type=click.IntRange(1),
    help="Requests under way at a time, for async and rate; by default the number of CPUs.",
)
@click.option(
    "--rate",
    type=click.FloatRange(0, min_open=True),
    help="Requests that arrive a second, for rate.",
)
@click.option("--task", help="By default what the first engine's folder tells.")
@click.option("--text", help="Ask this text ...")
@click.option("--copies", type=click.IntRange(1), help="... so many times.")
@click.option(
    "--lengths",
    metavar="DISTRIBUTION",
    help="Ask English texts of so many words: lognormal:MEDIAN:SIGMA or uniform:LEAST:MOST ...",
)
@click.option("--items", type=click.IntRange(1), help="... so many of them.")
@click.option(
    "--data",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Ask the items of a file as scripts.evaluate reads it ...",
)
@click.option("--limit", type=click.IntRange(1), help="... so many of them, evenly over the file.")
@click.option("-b", "--batch", default=1, type=click.IntRange(1), help="Items a request.")
@click.option(
    "--rounds",
    default=5,
    type=click.IntRange(1),
    help="Rounds that count, in which the engines take turns.",
)
@click.option("--warm-up", default=1, type=click.IntRange(0), help="Rounds before them.")
@click.option(
    "-t",
    "--time",
    "seconds",
    default=0.0,
    type=click.FloatRange(0),
    help="Least seconds of a round; it always asks everything once.",
)
@click.option(
    "--cores", type=click.IntRange(1), help="CPUs that each engine may use; by default all."
)
@click.option("--seed", default=0, help="Of the texts and of the arrivals.")
@click.option(
    "--title", help="Of the document's section; by default made from the task and the scenario."
)
@click.option("-x", "--export", type=FILE, help="A JSON file with deepsparse.benchmark's keys.")
@click.option("--plot", "picture", type=FILE, help="A picture, .svg or .png.")
@click.option("--out", type=FILE, help="A Markdown file: write or renew the section of this title.")
@click.option("--output", type=click.Choice(["text", "json"]), default="text")
def command(**flags: Any) -> None:
    """Measure engines side by side: speed, latency, memory, cold start, and whether they answer the
    same."""
    chosen = specs.parse(flags["engines"])
    task = flags["task"] or specs.task_of(chosen)
    plan = _plan(flags, task, chosen)
    figures.check_names(flags["against"], [*(s.name for s in chosen), *(s.kind for s in chosen)])
    source, labels = _source(flags), specs.labels_of(chosen)
    requests = inputs.requests(inputs.read(source, task, labels), flags["batch"])
    with console.stage(f"{len(chosen)} engines, {plan.scenario}") as progress:
        found = measure(chosen, requests, plan, progress, _warn)
    peers = figures.peers(found, flags["against"], plan.scenario)
    title = flags["title"] or f"{task}, {plan.scenario}"
    absent = tuple(spec.name for spec in chosen if spec not in [engine.spec for engine in found])
    _write(
        Benchmark(
            title,
            str(source),
            flags["batch"],
            len(labels),
            plan,
            tuple(found),
            tuple(peers),
            absent,
        ),
        flags,
    )


def _plan(flags: dict[str, Any], task: str, chosen: Sequence[specs.Spec]) -> Plan:
    scenario, rate, streams = flags["scenario"], flags["rate"], flags["streams"]
    if (scenario == "rate") != (rate is not None):
        raise UsageError("--scenario rate and --rate REQUESTS_A_SECOND go together")
    if streams and scenario not in ("async", "rate"):
        raise UsageError("--streams is for --scenario async and rate")
    some = streams or (1 if scenario in ("sync", "cold") else flags["cores"] or cpu.available())
    pythons = dict(_python(text, chosen) for text in flags["pythons"])
    return Plan(
        task,
        scenario,
        flags["rounds"],
        flags["warm_up"],
        some,
        rate,
        flags["seconds"],
        flags["seed"],
        flags["cores"],
        pythons,
    )


def _python(text: str, chosen: Sequence[specs.Spec]) -> tuple[str, str]:
    name, sign, path = text.partition("=")
    known = {*(spec.name for spec in chosen), *ENGINES}
    if not sign or name not in known:
        raise UsageError(
            f"--python {text}: expected KIND=PATH, where KIND is one of {', '.join(ENGINES)}"
        )
    return name, path


def _source(flags: dict[str, Any]) -> inputs.Source:
    for flag, owner in (("copies", "text"), ("items", "lengths"), ("limit", "data")):
        if flags[flag] and not flags[owner]:
            raise UsageError(f"--{flag} goes with --{owner}")
    some = flags["copies"] or flags["items"] or flags["limit"]
    return inputs.Source(flags["text"], flags["lengths"], flags["data"], some, flags["seed"])


def _warn(text: str) -> None:
    console.err.print(f"[yellow]skipped[/yellow] {text}", markup=True)


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
        sections.replace(out, done.title, report.markdown(done, _command(sys.argv[1:]), picture))


def _command(given: Sequence[str]) -> str:
    """The command that measures this again, an option a line, without what only says where results
    go. A path outside of the working folder is shown by its last part."""
    lines: list[list[str]] = [["python", "-m", "scripts.benchmark"]]
    for word in given:
        if word.startswith("-"):
            lines.append([word])
        else:
            lines[-1].append(_shown(word))
    kept = [line for line in lines if line[0].partition("=")[0] not in HIDDEN]
    return " \\\n    ".join(shlex.join(line) for line in kept)


def _shown(word: str) -> str:
    path = Path(word)
    return sections.shown(path) if path.is_absolute() else word


if __name__ == "__main__":
    command()

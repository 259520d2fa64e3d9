"""The share of a request's time that is not the engine's: decoding, tokenising, batching, encoding.

    python -m scripts.overhead --model build/models/my-model

The stages are those of the Server-Timing header. What is done while ONNX Runtime runs counts as
outside too.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import click

from onnxferry import scoring
from onnxferry.scripts import local_scorer, sections, tables
from onnxferry.scripts.datasets import built_in
from onnxferry.system import console, options
from onnxferry.system.errors import UsageError
from onnxferry.system.options import COUNT, FILE

SIZES = (1, 128)  # texts a request
WARM_UP = 3  # requests before those that count


@dataclass(frozen=True)
class Overhead:
    """Medians over the rounds of requests of `texts` texts: milliseconds of each stage and in all,
    and the share outside the engine, 0 to 1."""

    texts: int
    rounds: int
    stages: Mapping[str, float]
    total: float
    outside: float


def measure(scorer: scoring.Scorer, inputs: Sequence[Any], rounds: int) -> Overhead:
    """Time `rounds` requests that hold all of `inputs`, after a few that do not count. Raises
    EvaluationError with the core's message when it refuses them."""
    request = scoring.Request(json.dumps({"inputs": list(inputs)}).encode())
    seen = [_stages(scorer.handle(request)) for _ in range(WARM_UP + rounds)][WARM_UP:]
    stages = {name: statistics.median(times[name] for times in seen) for name in seen[0]}
    total = statistics.median(sum(times.values()) for times in seen)
    outside = statistics.median(1 - times["engine"] / sum(times.values()) for times in seen)
    return Overhead(len(inputs), rounds, stages, total, outside)


def _stages(response: scoring.Response) -> dict[str, float]:
    """Milliseconds by stage, from Server-Timing."""
    local_scorer.parsed(response)
    entries = (entry.split(";dur=") for entry in response.headers["Server-Timing"].split(", "))
    return {name: float(milliseconds) for name, milliseconds in entries}


def inputs_of(task: str, size: int) -> list[Any]:
    """`size` built-in inputs of the task, always the same. Raises UsageError if there are none."""
    rows = [payload["inputs"] for payload in built_in.payloads(task)]
    if not rows:
        known = ", ".join(built_in.tasks())
        raise UsageError(f"--model: there are no texts for task '{task}'; there are for {known}")
    return [Random(i).choice(rows) for i in range(size)]  # noqa: S311


def markdown(found: Sequence[Overhead], name: str, command: str) -> str:
    """The section of a document."""
    what = f"Milliseconds a request, medians of {found[0].rounds} rounds; outside: the share that"
    figures = tables.markdown(*_table(found))
    title = f"Time outside the engine: {name}"
    return sections.section(title, command, f"{what} is not the engine's.", figures)


def _table(found: Sequence[Overhead]) -> tuple[list[str], list[list[str]]]:
    """The columns, and a row for each size of a request."""
    rows = []
    for f in found:
        times = [f"{ms:.2f}" for ms in (*f.stages.values(), f.total)]
        rows.append([str(f.texts), *times, f"{f.outside:.1%}"])
    return ["texts", *found[0].stages, "total", "outside"], rows


@options.command()
@options.served_model
@click.option("--texts", "sizes", multiple=True, default=SIZES, type=COUNT, help="Texts a request.")
@click.option("--rounds", default=20, type=COUNT, help="Requests that count.")
@click.option("--out", type=FILE, help="A Markdown file: write or renew the section of this model.")
@options.output
def command(
    model: Path, sizes: tuple[int, ...], rounds: int, out: Path | None, output: str
) -> None:
    """Measure the share of a request's time that is not the engine's."""
    scorer = local_scorer.load(model)
    name, task = scorer.spec.name, scorer.spec.task
    found = [measure(scorer, inputs_of(task, size), rounds) for size in sizes]
    if output == "json":
        click.echo(json.dumps([vars(f) for f in found], indent=2))
    else:
        title = f"{name}: milliseconds a request, medians"
        console.out.print(tables.terminal(title, *_table(found)))
    if out:
        again = f"python -m scripts.overhead --model {sections.shown(model)} --rounds {rounds}"
        sections.replace(out, f"overhead of {name}", markdown(found, name, again))


if __name__ == "__main__":
    command()

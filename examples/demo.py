"""make demo: trained models, packaged for every platform, answering inside the platforms'
real hosting runtimes.

Each line of the closing table is one package, served by its own runtime on this machine. The last
column says whether the answer's bytes are those that the other targets gave; of MLflow, whose wire
is its own, whether the answer as records is the same.
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.box import SIMPLE_HEAD
from rich.table import Table

from examples.models import Example, examples, ready
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scripts.package import layout_of
from onnxferry.scripts.rehearse import Rehearsal, rehearse
from onnxferry.scripts.rehearse.rehearsable import rehearsable
from onnxferry.scripts.rehearse.runtime import Wire
from onnxferry.scripts.rehearse.start import runtime_of
from onnxferry.scripts.request_file import read_request
from onnxferry.system import options
from onnxferry.system.console import err, out
from onnxferry.targets import TARGETS

OUT = Path("build")
PLATFORMS = [name for name in TARGETS if name not in ("container", "local")]


@dataclass(frozen=True)
class DemoRow:
    """One rehearsal. `packed` is the size in bytes of what the platform would be given."""

    example: Example
    spec: ModelSpec
    packed: int
    done: Rehearsal

    @property
    def answers(self) -> tuple[bytes, ...]:
        """The bytes of the golden answer and of the answer to the example's own request."""
        return (self.done.answer, *(answer.body for answer in self.done.extra))

    @property
    def wire(self) -> Wire:
        """In what form the platform's runtime is asked and answers."""
        return runtime_of(self.done.target).wire

    def in_form_of(self, wire: Wire) -> list[Any]:
        """These answers, which are in our form, as the data that another's has."""
        goldens = [self.spec.golden] if self.spec.golden else []
        requests = [*(golden.request for golden in goldens), read_request(self.example.request)]
        asked = zip(requests, self.answers, strict=True)
        made = [Golden(request, json.loads(answer)) for request, answer in asked]
        return [wire.golden(self.spec, golden).answer for golden in made]


def rehearsed(example: Example, target: str) -> DemoRow:
    """One row: package the example for `target` and rehearse it."""
    err.print(f"[bold]{example.name} on {target}[/bold]")
    model = ready(example)
    package = rehearsable(model, layout_of(target), OUT)
    done = rehearse(package, extra=[read_request(example.request)])
    return DemoRow(example, ModelSpec.read(model), package.size, done)


def shown(answer: bytes) -> str:
    """An answer in a few words: its text, or its best label, with the score."""
    data = json.loads(answer)
    found = data.get("predictions", data) if isinstance(data, dict) else data
    best = found[0] if isinstance(found, list) else found
    return f"{best.get('answer') or best['label']} ({best['score']:.3f})"


def table(rows: list[DemoRow]) -> Table:
    """The closing table: a line a rehearsal."""
    made = Table(title="One model, every platform's runtime, the same bytes", box=SIMPLE_HEAD)
    for heading in ("model", "target"):
        made.add_column(heading, no_wrap=True)
    for heading in ("package MB", "start-up s", "p50 ms", "p95 ms", "memory MiB"):
        made.add_column(heading, justify="right")
    made.add_column("answer")
    made.add_column("same bytes")
    for row in rows:
        done = row.done
        numbers = (row.packed / 1e6, done.start_seconds, done.latency_p50_ms, done.latency_p95_ms)
        made.add_row(
            row.example.name,
            done.target,
            *(f"{number:.1f}" for number in numbers),
            f"{done.memory_mib:.0f}",
            shown(done.answer),
            said(row, rows),
        )
    return made


def said(row: DemoRow, rows: list[DemoRow]) -> str:
    """What the last column says."""
    yes = "yes" if row.wire == Wire() else "as records"
    return yes if same(row, rows) else "[red]NO[/red]"


def same(row: DemoRow, rows: list[DemoRow]) -> bool:
    """Whether every target answered this row's model in the same bytes, or with the same data where
    its form is not ours."""
    ours = [other for other in rows if other.example is row.example and other.wire == Wire()]
    if row.wire == Wire():
        return {other.answers for other in ours} == {row.answers}
    data = [json.loads(answer) for answer in row.answers]
    return all(other.in_form_of(row.wire) == data for other in ours)


@options.command()
@click.option(
    "--model", "names", multiple=True, help="Only this one of the demo's models; may be repeated."
)
@click.option(
    "--target", "targets", multiple=True, type=click.Choice(PLATFORMS), help="Only this target."
)
def main(names: tuple[str, ...], targets: tuple[str, ...]) -> None:
    """Prepare the demo's models, package each for every target, and rehearse each package on the
    platform's runtime."""
    began = time.monotonic()
    chosen = [example for example in examples() if not names or example.name in names]
    wanted = {one.name: targets or one.targets or PLATFORMS for one in chosen}
    rows = [rehearsed(one, target) for one in chosen for target in wanted[one.name]]
    out.print(table(rows))
    out.print(f"{time.monotonic() - began:.0f} s in all; packages and models are in {OUT}/")
    if not all(same(row, rows) for row in rows):
        sys.exit("the targets' answers differ")


if __name__ == "__main__":
    main()

"""The function of the demo's EfficientNet-Lite0 beside the same function with PyTorch, in turns in
Azure's worker: the section "Azure Functions: ..." of docs/performance.md.

    python -m examples.functions.compare --rounds 5 --out docs/performance.md

needs the demo's model (python -m examples.models efficientnet-lite0) and 1.2 GB below --work.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import click

from examples.functions.build import PYTHON, App, build
from examples.functions.measure import Round, measured, survives
from examples.functions.table import COLUMNS, Measured, rows
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request
from onnxferry.scripts import sections, tables
from onnxferry.scripts.machine import machine
from onnxferry.scripts.package import layout_of, package
from onnxferry.scripts.rehearse.archives import unpack_zip
from onnxferry.system import console
from onnxferry.system.options import FILE

# MiB for the worker of the smallest instance, by infra/functions/sizing.py: of its 512 MB and the
# 272 that are there for the host, 30 % stay free, and the host has its 272
LIMIT = 276
TITLE = "Azure Functions: EfficientNet-Lite0"


def ours(model: Path, work: Path) -> App:
    """The package of `model`, unpacked."""
    built = package(model, layout_of("functions"), out=work / "package", python=PYTHON)
    folder = work / "unpacked"
    shutil.rmtree(folder, ignore_errors=True)
    unpack_zip(built.path, folder)
    return App("onnxferry", folder, built.size)


def picture(model: Path) -> Request:
    """The golden request, a picture's bytes."""
    golden: Golden | None = ModelSpec.read(model).golden
    if golden is None or not golden.request.content_type.startswith("image/"):
        sys.exit(f"{model} has no golden request that is a picture")
    return golden.request


def compare(apps: list[App], request: Request, rounds: int, repeats: int) -> list[Measured]:
    """Each app's rounds, in turns; which is first changes, and a first round does not count."""
    found: dict[str, list[Round]] = {app.name: [] for app in apps}
    for i in range(rounds + 1):
        for app in apps if i % 2 else reversed(apps):
            found[app.name].append(measured(app, request, repeats))
    kept = [(app, found[app.name][1:], survives(app, request, LIMIT)) for app in apps]
    return [Measured(app.size, tuple(each), said) for app, each, said in kept]


def text(found: list[Measured]) -> list[str]:
    """The section's parts."""
    return [
        f"{machine()}; the worker in Python {PYTHON}. {len(found[0].rounds)} rounds after one that"
        " does not count; medians, with the least and the most. The limit is a memory cgroup of"
        f" {LIMIT} MiB: what a 512 MB instance, with 272 MB more for the host, leaves the worker"
        " when 30 % stay free.",
        tables.markdown(COLUMNS, rows(*found)),
    ]


@click.command()
@click.option("--model", default=Path("build/models/efficientnet-lite0"), type=Path)
@click.option("--work", default=Path("build/functions-peer"), type=Path)
@click.option("--rounds", default=5, type=click.IntRange(1, 50))
@click.option("--repeats", default=50, type=click.IntRange(2, 1000))
@click.option("--out", type=FILE, help="A Markdown file: write or renew the section.")
def command(model: Path, work: Path, rounds: int, repeats: int, out: Path | None) -> None:
    """Measure both, print the table, and write it to --out."""
    apps = [ours(model, work.resolve()), build(work.resolve() / "torch")]
    found = compare(apps, picture(model), rounds, repeats)
    console.out.print(tables.terminal(TITLE, COLUMNS, rows(*found)))
    if out:
        again = f"python -m examples.functions.compare --rounds {rounds} --out {out.name}"
        sections.replace(out, "functions", sections.section(TITLE, again, *text(found)))


if __name__ == "__main__":
    command()

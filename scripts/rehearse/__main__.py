"""onnxferry rehearse: the command line, and what it prints of a rehearsal."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from onnxferry.scripts.package import Package, layout_of, read
from onnxferry.scripts.package.layout import PackageLayout
from onnxferry.scripts.rehearse import Conditions, Rehearsal, Reply, record, rehearse
from onnxferry.scripts.rehearse.rehearsable import with_stand_in
from onnxferry.scripts.rehearse.start import runtime_of
from onnxferry.scripts.request_file import read_request
from onnxferry.system import options
from onnxferry.system.console import out
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS

FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_EGRESS = (
    "Whether the runtime reaches the network. By default it does not, where this machine can cut it"
    " off; --no-egress fails where it cannot."
)
_MEMORY = "Memory of all its processes together, as a serverless platform gives it; default: all."
_READ_ONLY = "Let it write nothing but temporary files, as on a serverless platform."
_INPUT = "A file to send as a request; its suffix says its content type. May be repeated."


@options.command()
@click.argument("package", required=False, type=click.Path(exists=True, path_type=Path))
@options.apply(options.target(TARGETS, required=False), options.model, options.out, options.python)
@options.apply(options.image, options.config)
@click.option("--input", "inputs", multiple=True, type=FILE, help=_INPUT)
@click.option("--repeats", default=30, type=click.IntRange(2), help="Requests to time.")
@click.option("--memory-mb", type=click.IntRange(64), help=_MEMORY)
@click.option("--read-only", is_flag=True, help=_READ_ONLY)
@click.option("--egress/--no-egress", default=None, show_default=False, help=_EGRESS)
@options.output
def command(inputs: tuple[Path, ...], output: str, **flags: Any) -> None:
    """Serve a package by its platform's real runtime, here, and measure it: PACKAGE (model.tar.gz,
    function.zip or a folder), or the one that is built of --model for --target. It proves that the
    package needs no network."""
    limits = (flags.pop("memory_mb") or 0, flags.pop("read_only"))
    conditions = Conditions(flags.pop("egress"), flags["image"], *limits)
    repeats = flags.pop("repeats")
    requests = [read_request(path) for path in inputs]
    given, rehearsed = _packages(**flags)
    done = rehearse(rehearsed, requests, repeats, conditions)
    if runtime_of(given.target, conditions.image).recorded:
        record.write(given, done)
    answers = dict(zip(map(str, inputs), done.extra, strict=True))
    if output == "json":
        click.echo(json.dumps(_data(done, answers), indent=2, ensure_ascii=False))
    else:
        _show(done, answers)


def _packages(
    package: Path | None, target: str | None, model: Path | None, file: Path, **flags: Any
) -> tuple[Package, Package]:
    """What the platform is given, and what is rehearsed for it."""
    from onnxferry.scripts.model_table import chosen

    if bool(package) == bool(target) or (package and model):
        raise UsageError("give a built PACKAGE, or --target to build one of --model, not both")
    image, given = flags.pop("image"), read(package) if package else None
    layout = _layout(given.target if given else str(target), image)
    if given:
        return given, given
    return with_stand_in(chosen(None, model, file), layout, **flags)


def _layout(target: str, image: str) -> PackageLayout:
    """Of the package that `image` takes: the default one's, where only the runtime is another.
    Raises UsageError for an unknown image."""
    rehearsed = runtime_of(target).images
    try:
        return layout_of(target, "" if image in rehearsed else image)
    except UsageError as e:
        raise e.with_context(", ".join(rehearsed), "; to rehearse in: ") if rehearsed else e from e


def _data(done: Rehearsal, answers: dict[str, Reply]) -> dict[str, Any]:
    figures = {key: value for key, value in vars(done).items() if key != "extra"}
    inputs = [
        {"input": path, "status": a.status, "answer": _text(a.body)} for path, a in answers.items()
    ]
    phases = asdict(done.phases)
    return {**figures, "phases": phases, "answer": _text(done.answer), "inputs": inputs}


def _text(body: bytes) -> str:
    return body.decode("utf-8", errors="replace")


def _show(done: Rehearsal, answers: dict[str, Reply]) -> None:
    table = Table(show_header=False)
    limits = (("memory limit", done.memory_limit), ("read-only file system", done.read_only))
    for row in (
        ("target", f"{done.target}, Python {done.python}"),
        ("runtime", done.runtime),
        ("package", f"{done.size / 1e6:.1f} MB"),
        ("network", done.network),
        ("start to first answer", f"{done.start_seconds:.1f} s: {done.phases.text()}"),
        ("latency p50 / p95", f"{done.latency_p50_ms:.1f} / {done.latency_p95_ms:.1f} ms"),
        ("CPU time a request", f"{done.cpu_ms:.1f} ms"),
        ("memory, peak", f"{done.memory_mib:.0f} MiB"),
        *((name, said) for name, said in limits if said),
        ("golden answer", "as expected"),
    ):
        table.add_row(*row)
    out.print(table)
    out.print(_text(done.answer), markup=False)
    for path, answer in answers.items():
        text = f"{path}: {answer.status} {answer.seconds * 1000:.1f} ms\n{_text(answer.body)}"
        out.print(text, markup=False)


if __name__ == "__main__":
    command()

#!/usr/bin/env python3
"""The command line of onnxferry, and the only place that composes its rooms: `python deploy.py ACTION --target TARGET`;
installed, `onnxferry ACTION --target TARGET`.

Each action imports what it needs when it is called, so that --help answers at once. One `except` turns a known failure
into its message and exit code; an unknown one keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scripts.ending import ending
from scripts.errors import UsageError

TARGETS = ("azureml", "functions", "local", "sagemaker")
MODELS = Path("build") / "models"

_OPTIONS = (
    click.option("--target", required=True, type=click.Choice(TARGETS), help="The platform."),
    click.option("--model", type=click.Path(path_type=Path), help=f"Model directory; default: the one in {MODELS}."),
    click.option("--out", default=Path("build"), show_default=True, type=click.Path(path_type=Path)),
    click.option("--python", help="Python version of the host, like 3.12 (default: the platform's)."),
    click.option("--output", type=click.Choice(["text", "json"]), default="text", show_default=True),
)


def _packaging(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="onnxferry")
def cli() -> None:
    """Carry one trained model to many clouds. Make a model directory first: python -m scripts.prepare --help."""


@cli.command("package")
@_packaging
def package_(target: str, model: Path | None, out: Path, python: str | None, output: str) -> None:
    """Build what TARGET loads: model.tar.gz, a function zip, or a folder for AzureML or here."""
    from scripts.package import package
    from scripts.package.__main__ import show

    show(package(model or only_model(), target, out=out, python=python), output)


@cli.command("rehearse")
@_packaging
@click.option("--input", "inputs", multiple=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
              help="A file to send as a request; its suffix says its content type. May be repeated.")  # fmt: skip
@click.option("--repeats", default=30, show_default=True, type=click.IntRange(2), help="Requests to time.")
def rehearse_(inputs: tuple[Path, ...], repeats: int, output: str, **order: Any) -> None:
    """Package the model and serve it by TARGET's real hosting runtime, here: answer, start-up, latency and memory."""
    from scripts.rehearse import rehearse
    from scripts.rehearse.__main__ import show
    from scripts.rehearse.model import rehearsable
    from scripts.request_file import read_request

    requests = [read_request(path) for path in inputs]
    order["model"] = order["model"] or only_model()
    done = rehearse(rehearsable(**order), extra=requests, repeats=repeats)
    show(done, dict(zip(map(str, inputs), done.extra, strict=True)), output)


def only_model() -> Path:
    """The one model directory below build/models. Raises UsageError when there is none, or more than one."""
    found = sorted(path.parent for path in MODELS.glob("*/model_spec.json"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(f"no model directory in {MODELS}; make one: python -m scripts.prepare, or give --model DIR")
    raise UsageError(f"several model directories; choose one with --model: {', '.join(map(str, found))}")


def main() -> None:
    """Run the command line; a known failure ends with its message and its exit code."""
    with ending():
        cli()


if __name__ == "__main__":
    main()

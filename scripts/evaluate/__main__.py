"""python -m scripts.evaluate --model DIR --data FILE: the command line over Options."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from onnxferry.scripts import sections
from onnxferry.scripts.evaluate import report
from onnxferry.scripts.evaluate.evaluation import Evaluation, Options, evaluate
from onnxferry.system import console, options
from onnxferry.system.errors import EvaluationError

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
DATA = click.Path(exists=True, path_type=Path)


@options.command()
@click.option("--model", type=FOLDER, required=True, help="The model directory that is served.")
@click.option(
    "--data",
    type=DATA,
    required=True,
    help=(
        "SQuAD .json, a .tsv of text and label, CoNLL columns, "
        ".jsonl of {inputs, answer}, or a folder of pictures by label."
    ),
)
@click.option(
    "--source",
    type=FOLDER,
    help="The source model's folder: compare with transformers' pipeline over it.",
)
@click.option("--adapter", type=FOLDER, help="PEFT adapter folder, merged into the source model.")
@click.option(
    "--threshold",
    default=0.5,
    type=click.FloatRange(0, 1),
    help="Least score of a label that counts as given, for models with several labels a text.",
)
@click.option("--limit", type=click.IntRange(1), help="Take this many items, evenly over the set.")
@click.option(
    "--within",
    type=click.FloatRange(0),
    help="Fail when a figure differs from the pipeline's by more points.",
)
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    help="A Markdown file: write or renew the section of this model and set.",
)
@click.option("--output", type=click.Choice(["text", "json"]), default="text")
def command(out: Path | None, output: str, within: float | None, **flags: Any) -> None:
    """Measure a model directory by its task's metric, as it is served, and against its source
    model."""
    options = Options(**flags)
    found = evaluate(options)
    if output == "json":
        click.echo(json.dumps(report.data(found), indent=2, ensure_ascii=False))
    else:
        console.out.print(report.table(found), *report.agreement(found), sep="\n")
    if out:
        sections.replace(out, report.title(found), report.markdown(found, _command(options)))
    if within is not None:
        _check(found, within)


def _command(options: Options) -> str:
    """The command that measures this again; a path outside of the working folder is shown by its
    last part."""
    flags = {
        "model": options.model,
        "data": options.data,
        "source": options.source,
        "adapter": options.adapter,
        "threshold": options.threshold if options.threshold != Options.threshold else None,
        "limit": options.limit,
    }
    given = [
        f"--{name} {sections.shown(value)}" for name, value in flags.items() if value is not None
    ]
    return "python -m scripts.evaluate " + " \\\n    ".join(given)


def _check(found: Evaluation, within: float) -> None:
    for name, figure in found.figures.items():
        if figure.difference is None:
            raise EvaluationError(
                "--within compares with the source model; give its folder with --source"
            )
        if abs(figure.difference) > within:
            raise EvaluationError(
                f"{name}: {figure.core:.3f} served, {figure.reference:.3f} by transformers'"
                f" pipeline; that is more than {within:g} points apart (--within). --output json"
                " lists answers that differ"
            )


if __name__ == "__main__":
    command()

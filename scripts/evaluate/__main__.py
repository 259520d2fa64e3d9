"""python -m scripts.evaluate --model DIR --data FILE: the command line."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
from click import option

from onnxferry.scripts import sections
from onnxferry.scripts.evaluate import Evaluation, EvaluationOptions, evaluate, report
from onnxferry.system import console, options
from onnxferry.system.errors import EvaluationError
from onnxferry.system.options import COUNT, FILE, FOLDER

DATA = click.Path(exists=True, path_type=Path)
POINTS = click.FloatRange(0)
SOURCE = "The source model's folder: compare with transformers' pipeline."
OUT = "A Markdown file: write or renew the section of this model and set."
DIFFERENCE = "Fail when a metric differs from the pipeline's by more points."
FORMATS = (
    "SQuAD .json, a .tsv of text and label, CoNLL columns, .jsonl of {inputs, answer}, or a folder"
    " of pictures by label."
)
THRESHOLD = "Least score of a label that counts as given, for models with several labels a text."


@options.command()
@options.served_model
@option("--data", type=DATA, required=True, help=FORMATS)
@option("--source", type=FOLDER, help=SOURCE)
@option("--adapter", type=FOLDER, help="PEFT adapter folder, merged into the source model.")
@option("--threshold", default=0.5, type=click.FloatRange(0, 1), help=THRESHOLD)
@option("--limit", type=COUNT, help="Take this many items, evenly over the set.")
@option("--max-difference", type=POINTS, help=DIFFERENCE)
@option("--within", type=POINTS, hidden=True)  # the older name of it
@option("--out", type=FILE, help=OUT)
@options.output
def command(
    out: Path | None, output: str, max_difference: float | None, within: float | None, **flags: Any
) -> None:
    """Measure a model directory by its task's metric, as it is served, and against its source
    model."""
    chosen = EvaluationOptions(**flags)
    found = evaluate(chosen)
    if output == "json":
        click.echo(json.dumps(asdict(found), indent=2, ensure_ascii=False))
    else:
        console.out.print(report.table(found), *report.agreement(found), sep="\n")
    if out:
        sections.replace(out, report.title(found), report.markdown(found, _repeated(chosen)))
    most = within if max_difference is None else max_difference
    if most is not None:
        _check(found, most)


def _repeated(chosen: EvaluationOptions) -> str:
    """The command that measures this again."""
    default = asdict(EvaluationOptions(chosen.model, chosen.data))
    given = [
        f"--{name} {sections.shown(value)}"
        for name, value in asdict(chosen).items()
        if name in ("model", "data") or value != default[name]
    ]
    return "python -m scripts.evaluate " + " \\\n    ".join(given)


def _check(found: Evaluation, most: float) -> None:
    for name, value in found.figures.items():
        if value.difference is None:
            how = "give its folder with --source"
            raise EvaluationError(f"--max-difference compares with the source model; {how}")
        if abs(value.difference) > most:
            both = f"{value.core:.3f} served, {value.transformers:.3f} by transformers' pipeline"
            apart = f"more than {most:g} points apart (--max-difference)"
            answers = "--output json lists answers that differ"
            raise EvaluationError(f"{name}: {both}, {apart}. {answers}")


if __name__ == "__main__":
    command()

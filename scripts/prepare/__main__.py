"""python -m scripts.prepare SOURCE --out DIR: the command line over Options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.prepare.options import AUTO, Options
from onnxferry.scripts.prepare.pipeline import prepare
from onnxferry.scripts.prepare.report import document
from onnxferry.scripts.prepare.selection import candidates, cpu_target
from onnxferry.scripts.prepare.selection.criteria import share
from onnxferry.scripts.prepare.verification.eval_set import LIMIT, LIMITS
from onnxferry.system import console, options

PATH = click.Path(path_type=Path)


@options.command()
@click.argument("source")
@click.option("--out", type=PATH, required=True, help="The model directory to make or to replace.")
@click.option(
    "--task", help=f"{', '.join(sorted(TASKS))}; by default what the model's configuration says."
)
@click.option("--adapter", type=PATH, help="PEFT adapter folder, merged into the model.")
@click.option("--tokenizer", type=PATH, help="Tokenizer folder, where SOURCE holds none.")
@click.option("--labels", type=PATH, help="Names of the outputs: one a line, or a JSON list.")
@click.option(
    "--settings", type=PATH, help="JSON object of settings that override the derived ones."
)
@click.option("--name", help="The model's name; by default the last part of --out.")
@click.option(
    "--precision",
    default=AUTO,
    help="auto: the fastest of all variants; fp32 or int8: of its kind only.",
)
@click.option(
    "--variant", help="Only this variant, by its name in the report; it must still pass the gate."
)
@click.option(
    "--cpu",
    default=cpu_target.AUTO,
    help=f"What int8 is made for: {', '.join(cpu_target.CPUS)} (this machine's kind).",
)
@click.option(
    "--data",
    type=PATH,
    help=(
        "Evaluation set: the gate is a loss of the task's metric. SQuAD .json, a .tsv of text and"
        " label, CoNLL columns, .jsonl of {inputs, answer}, a folder of pictures by label, or texts"
        " to embed."
    ),
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=(
        "Items of --data that are asked, evenly over it; by default "
        f"{LIMIT}, or {max(LIMITS.values())} where an item is one text."
    ),
)
@click.option(
    "--threshold",
    default=0.5,
    help=(
        "With --data: least score of a label that counts as given, for models "
        "with several labels a text."
    ),
)
@click.option(
    "--max-loss",
    default="1%",
    help=(
        "Largest loss of a metric on --data, as a share of the source model's; "
        "without --data, largest share of changed answers."
    ),
)
@click.option(
    "--inputs",
    type=PATH,
    help="More inputs to verify on: JSON Lines of request bodies, or a picture folder.",
)
@click.option("--golden", type=PATH, help="The golden request: a .json body or a picture.")
@click.option(
    "--tolerance",
    type=float,
    help="Largest difference of a raw output; by default 1e-3 for fp32, none for int8.",
)
@click.option(
    "--min-agreement",
    type=float,
    default=0.9,
    help="Least share of answers equal to the source model's, with and without --data.",
)
@click.option("--opset", type=int, help="17 or 18; by default 17.")
def command(max_loss: str, **flags: Any) -> None:
    """Make a checked model directory of SOURCE: a Hugging Face model folder, a PyTorch module given
    as module:factory, or an .onnx file. Several variants are made and held against the source
    model; the fastest within the gate is taken, and report.md beside it tells of all."""
    options = Options(**flags, max_loss=share(max_loss))
    _report(prepare(options), options.out)


def _report(spec: ModelSpec, out: Path) -> None:
    size = candidates.weight(out) / 1e6
    console.out.print(
        f"{out}: {spec.name}, {spec.task}, {spec.precision}, {size:.1f} MB", markup=False
    )
    console.out.print(f"report: {out / document.REPORT_FILE}", markup=False)
    found = spec.provenance["difference"]
    if "max_abs" in found:
        console.out.print(
            f"against its source on {found['inputs']} inputs: maximum difference"
            f" {found['max_abs']:.2e}, {found['agreement']:.1%} of the answers the same"
        )
    if asked := found.get("pipeline", {}).get("inputs"):
        console.out.print(
            f"against transformers' pipeline on {asked} inputs: maximum difference of a score"
            f" {found['pipeline']['max_abs']:.2e}, {found['pipeline']['agreement']:.1%} of the"
            " answers the same"
        )
    if spec.golden:
        text = str(spec.golden.answer)
        console.out.print(
            f"golden answer: {text if len(text) <= 120 else text[:117] + '...'}", markup=False
        )


if __name__ == "__main__":
    command()

"""The command prepare, over Options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.prepare.model_directory import graph_bytes
from onnxferry.scripts.prepare.options import AUTO, CPUS, Options
from onnxferry.scripts.prepare.pipeline import prepare
from onnxferry.scripts.prepare.report.document import REPORT_FILE
from onnxferry.scripts.prepare.selection.criteria import parse_share
from onnxferry.scripts.prepare.verification.eval_set import LIMIT, LIMITS
from onnxferry.system import console, options
from onnxferry.system.options import PATH


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
    "--precision", default=AUTO, help="auto: the fastest variant; fp32 or int8: of its kind only."
)
@click.option(
    "--variant", help="Only this variant, by its name in the report; it must still pass the gate."
)
@click.option(
    "--cpu", default=AUTO, help=f"What int8 is made for: {', '.join(CPUS)} (this machine's kind)."
)
@click.option(
    "--data",
    type=PATH,
    help="Evaluation set: the gate is a drop of the task's metric. SQuAD .json, a .tsv of text and"
    " label, CoNLL columns, .jsonl of {inputs, answer}, a folder of pictures by label, or texts to"
    " embed.",
)
@click.option(
    "--limit",
    type=click.IntRange(1),
    help=f"Items of --data that are asked, evenly over it; by default {LIMIT}, or"
    f" {max(LIMITS.values())} where an item is one text.",
)
@click.option(
    "--threshold",
    default=0.5,
    help="With --data: least score of a label that counts as given, for models with several labels"
    " a text.",
)
@click.option(
    "--max-metric-drop",
    default="1%",
    help="Largest drop of a metric on --data, as a share of the source model's; without --data,"
    " largest share of changed answers.",
)
@click.option("--max-loss", hidden=True)  # the older name of --max-metric-drop
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
def command(max_metric_drop: str, max_loss: str | None, **flags: Any) -> None:
    """Make a checked model directory of SOURCE: a Hugging Face model folder, a PyTorch module given
    as module:factory, or an .onnx file. Several variants are made and compared with the source
    model; the fastest within the gate is taken, and report.md beside it tells of all."""
    share = parse_share(max_loss or max_metric_drop)
    asked = Options(**flags, max_metric_drop=share)
    _print_result(prepare(asked), asked.out)


def _print_result(spec: ModelSpec, out: Path) -> None:
    size = graph_bytes(out) / 1e6
    lines = [
        f"{out}: {spec.name}, {spec.task}, {spec.precision}, {size:.1f} MB",
        f"report: {out / REPORT_FILE}",
    ]
    found = spec.provenance["difference"]
    pipeline = found.get("pipeline", {})
    for reference, of, figures in (
        ("its source", "", found),
        ("transformers' pipeline", " of a score", pipeline),
    ):
        if "max_abs" in figures:
            lines.append(
                f"against {reference} on {figures['inputs']} inputs: maximum difference{of}"
                f" {figures['max_abs']:.2e}, {figures['agreement']:.1%} of the answers the same"
            )
    if spec.golden:
        text = str(spec.golden.answer)
        lines.append(f"golden answer: {text if len(text) <= 120 else text[:117] + '...'}")
    for line in lines:
        console.out.print(line, markup=False)


if __name__ == "__main__":
    command()

"""python -m scripts.prepare SOURCE --out DIR: the command line over Options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scoring.contract import MODEL_FILE, ModelSpec
from scripts import console
from scripts.ending import ending
from scripts.prepare.options import Options
from scripts.prepare.pipeline import prepare

PATH = click.Path(path_type=Path)


@click.command(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.argument("source")
@click.option("--out", type=PATH, required=True, help="The model directory to make or to replace.")
@click.option("--task", help="question-answering, text-classification, feature-extraction or image-classification; by "
              "default what the model's configuration says.")  # fmt: skip
@click.option("--adapter", type=PATH, help="PEFT adapter folder, merged into the model.")
@click.option("--tokenizer", type=PATH, help="Tokenizer folder, where SOURCE holds none.")
@click.option("--labels", type=PATH, help="Names of the outputs: one a line, or a JSON list.")
@click.option("--settings", type=PATH, help="JSON object of settings that override the derived ones.")
@click.option("--name", help="The model's name; by default the last part of --out.")
@click.option("--precision", default="fp32", help="fp32, or int8 for dynamic quantisation.")
@click.option(
    "--inputs", type=PATH, help="More inputs to verify on: JSON Lines of request bodies, or a picture folder."
)
@click.option("--golden", type=PATH, help="The golden request: a .json body or a picture.")
@click.option("--tolerance", type=float, help="Largest difference of a raw output; by default 1e-3 for fp32, none for "
              "int8.")  # fmt: skip
@click.option("--min-agreement", type=float, default=0.9, help="Least share of answers equal to the source model's.")
@click.option("--opset", type=int, help="17 or 18; by default 17.")
@ending()
def command(**flags: Any) -> None:
    """Make a checked model directory of SOURCE: a Hugging Face model folder, a PyTorch module given as module:factory,
    or an .onnx file."""
    options = Options(**flags)
    _report(prepare(options), options.out)


def _report(spec: ModelSpec, out: Path) -> None:
    size = (out / MODEL_FILE).stat().st_size / 1e6
    console.out.print(f"{out}: {spec.name}, {spec.task}, {spec.precision}, {size:.1f} MB", markup=False)
    found = spec.difference
    if "max_abs" in found:
        console.out.print(
            f"against its source on {found['inputs']} inputs: maximum difference {found['max_abs']:.2e}, "
            f"{found['agreement']:.1%} of the answers the same"
        )
    if spec.golden:
        text = str(spec.golden.answer)
        console.out.print(f"golden answer: {text if len(text) <= 120 else text[:117] + '...'}", markup=False)


if __name__ == "__main__":
    command()

"""The command prepare, over Options."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from onnxferry.scoring.manifest import GOLDENS, TOLERANCE, ModelSpec
from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.prepare import dry_run, test_run
from onnxferry.scripts.prepare.from_table import default_folder
from onnxferry.scripts.prepare.model_directory import graph_bytes
from onnxferry.scripts.prepare.options import ANY, AUTO, CPUS, EXPORTERS, INT8, TORCH, Options
from onnxferry.scripts.prepare.pipeline import GOLDEN_TOLERANCE, prepare
from onnxferry.scripts.prepare.report.document import REPORT_FILE
from onnxferry.scripts.prepare.selection.criteria import parse_share
from onnxferry.scripts.prepare.tuning import command_line as tuning
from onnxferry.scripts.prepare.tuning.scenario import FORM, Scenario
from onnxferry.scripts.prepare.verification import pipeline_comparison
from onnxferry.scripts.prepare.verification.eval_set import LIMIT, LIMITS
from onnxferry.system import console, options
from onnxferry.system.options import PATH

TASK_HELP = f"{', '.join(sorted(TASKS))}; by default what the model's configuration says."
OUT_HELP = "The model directory to make or to replace; by default build/models/ and SOURCE's name."
SETTINGS_HELP = "JSON object of settings that override the derived ones."
PRECISION_HELP = "auto: the fastest variant; fp32 or int8: of its kind only."
VARIANT_HELP = "Only this variant, by its name in the report; it must still pass the gate."
CPU_HELP = (
    f"What int8 is made for: {', '.join(CPUS)}. any: integer sums that are exact on all kinds, as"
    " of weights of 7 bits; here: this machine's kind."
)
DATA_HELP = (
    "Evaluation set: the gate is a drop of the task's metric. SQuAD .json, a .tsv of text and"
    " label, CoNLL columns, .jsonl of {inputs, answer}, a folder of pictures by label, or texts to"
    " embed."
)
LIMIT_HELP = (
    f"Items of --data that are asked, evenly over it; by default {LIMIT}, or"
    f" {max(LIMITS.values())} where an item is one text."
)
THRESHOLD_HELP = (
    "With --data: least score of a label that counts as given, for models with several labels a"
    " text."
)
DROP_HELP = (
    "Largest drop of a metric on --data, as a share of the source model's; without --data, largest"
    " share of changed answers."
)
INPUTS_HELP = "More inputs to verify on: JSON Lines of request bodies, or a picture folder."
GOLDEN_HELP = (
    f"The golden request, a .json body or a picture; or a folder of 1 to {GOLDENS}, all of which"
    " prove each deployment."
)
GOLDEN_TOLERANCE_HELP = (
    f"How far off a number of a golden answer may be; by default {TOLERANCE:g}, for int8"
    f" {GOLDEN_TOLERANCE[INT8]:g}."
)
TOLERANCE_HELP = "Largest difference of a raw output; by default 1e-3 for fp32, none for int8."
EXPORTER_HELP = (
    f"{', '.join(EXPORTERS)}: what exports a Hugging Face model; optimum needs transformers 4 and"
    " the extra 'optimum'."
)
FILE_HELP = "Which .onnx file of SOURCE, where it holds several."
DRY_HELP = "Say what would be made, and make nothing."
TEST_HELP = "Run the whole way on a copy of the model with two layers and random weights."
NO_CACHE_HELP = "Export and verify anew, and keep nothing for the next run."
TUNE_HELP = (
    "Search the engine options that are fastest on this host, in under two minutes:"
    f" {FORM}. SOURCE may be a model directory, which is then tuned in place."
)
SAME_HELP = "Least share of answers equal to the source model's, with and without --data."


@options.command()
@click.argument("source")
@click.option("--out", type=PATH, help=OUT_HELP)
@click.option("--task", help=TASK_HELP)
@click.option("--adapter", type=PATH, help="PEFT adapter folder, merged into the model.")
@click.option("--tokenizer", type=PATH, help="Tokenizer folder, where SOURCE holds none.")
@click.option("--labels", type=PATH, help="Names of the outputs: one a line, or a JSON list.")
@click.option("--settings", type=PATH, help=SETTINGS_HELP)
@click.option("--name", help="The model's name; by default the last part of --out.")
@click.option("--precision", default=AUTO, help=PRECISION_HELP)
@click.option("--variant", help=VARIANT_HELP)
@click.option("--cpu", default=ANY, help=CPU_HELP)
@click.option("--data", type=PATH, help=DATA_HELP)
@click.option("--limit", type=click.IntRange(1), help=LIMIT_HELP)
@click.option("--threshold", default=0.5, help=THRESHOLD_HELP)
@click.option("--max-metric-drop", default="1%", help=DROP_HELP)
@click.option("--max-loss", hidden=True)  # the older name of --max-metric-drop
@click.option("--inputs", type=PATH, help=INPUTS_HELP)
@click.option("--golden", type=PATH, help=GOLDEN_HELP)
@click.option("--golden-tolerance", type=float, help=GOLDEN_TOLERANCE_HELP)
@click.option("--tolerance", type=float, help=TOLERANCE_HELP)
@click.option("--min-agreement", type=float, default=0.9, help=SAME_HELP)
@click.option("--opset", type=int, help="17 or 18; by default 17.")
@click.option("--exporter", default=TORCH, help=EXPORTER_HELP)
@click.option("--file", help=FILE_HELP)
@click.option("--no-cache", is_flag=True, help=NO_CACHE_HELP)
@click.option("--tune", metavar="SCENARIO", help=TUNE_HELP)
@click.option("--dry-run", is_flag=True, help=DRY_HELP)
@click.option("--test", is_flag=True, help=TEST_HELP)
def command(
    source: str, out: Path | None, max_metric_drop: str, max_loss: str | None, **flags: Any
) -> None:
    """Make a checked model directory of SOURCE: a model of the hub (org/name or org/name@revision),
    a Hugging Face model folder, a PyTorch module given as module:factory, or an .onnx file. Several
    variants are made and compared with the source model; the fastest within the gate is taken, and
    report.md beside it tells of all."""
    scenario = Scenario.read(text) if (text := flags.pop("tune")) is not None else None
    if scenario and tuning.is_model_directory(source):
        tuning.check_alone(source)
        _print(tuning.lines(Path(source), scenario, flags))
        return
    drop = parse_share(max_loss or max_metric_drop)
    asked = Options(source, out or default_folder(source), max_metric_drop=drop, **flags)
    if asked.dry_run:
        _print([*dry_run.lines(asked), *tuning.dry_lines(scenario)])
    elif asked.test:
        tuning.check_not_tested(scenario)
        _print(test_run.passed(asked))
    else:
        _print(_result(prepare(asked), asked.out))
        if scenario:
            _print(tuning.lines(asked.out, scenario, flags))


def _print(lines: Iterable[str]) -> None:
    for line in lines:
        console.out.print(line, markup=False)


def _result(spec: ModelSpec, out: Path) -> list[str]:
    size = graph_bytes(out) / 1e6
    lines = [
        f"{out}: {spec.name}, {spec.task}, {spec.precision}, {size:.1f} MB",
        f"report: {out / REPORT_FILE}",
    ]
    found = spec.provenance["difference"]
    pipeline = found.get("pipeline", {})
    references = [("its source", "maximum difference", found)]
    if pipeline:
        named = pipeline_comparison.reference(spec.task)
        references.append((named, "maximum difference of a score", pipeline))
    for reference, what, figures in references:
        if "max_abs" in figures:
            same = f"{figures['agreement']:.1%} of the answers the same"
            far = f"on {figures['inputs']} inputs: {what} {figures['max_abs']:.2e}, {same}"
            lines.append(f"against {reference} {far}")
    if spec.golden:
        text = str(spec.golden.answer)
        lines.append(f"golden answer: {text if len(text) <= 120 else text[:117] + '...'}")
        if others := spec.golden.others:
            lines.append(f"and {len(others)} more golden requests")
    return lines


if __name__ == "__main__":
    command()

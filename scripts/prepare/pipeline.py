"""The stages of prepare, in order. Nothing is visible at --out before the last.

load -> export -> fuse -> prove the exported graph -> make and examine each variant -> measure speed
-> choose -> write
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from onnxferry.scoring.manifest import MODEL_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.scripts.datasets.built_in import MASK
from onnxferry.scripts.prepare.options import FP32, HUGGINGFACE, MODULE, ONNX, Options, check
from onnxferry.scripts.prepare.report import document, record
from onnxferry.scripts.prepare.selection import select_variant, variant_table
from onnxferry.scripts.prepare.selection.candidates import Bench, Trial
from onnxferry.scripts.prepare.selection.cpu_target import Target
from onnxferry.scripts.prepare.selection.criteria import Gate
from onnxferry.scripts.prepare.selection.select_variant import Contest
from onnxferry.scripts.prepare.selection.variant_table import Ways
from onnxferry.scripts.prepare.sources.source import Source
from onnxferry.scripts.prepare.staging import publish, staging
from onnxferry.scripts.prepare.verification import eval_set, golden
from onnxferry.scripts.prepare.verification.comparison import Truth
from onnxferry.scripts.prepare.verification.evaluator import Exam
from onnxferry.scripts.prepare.verification.reference import compare, remembered
from onnxferry.scripts.prepare.verification.samples import Sample, samples
from onnxferry.system import console
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError
from onnxferry.system.library_output import silence_libraries

if TYPE_CHECKING:
    from onnxferry.scripts.prepare.variants.fusion import Fusion

LOADERS = {
    HUGGINGFACE: "onnxferry.scripts.prepare.sources.checkpoint",
    MODULE: "onnxferry.scripts.prepare.sources.module_source",
    ONNX: "onnxferry.scripts.prepare.sources.onnx_file",
}
"""Imported on demand: they bring torch and transformers, which cost seconds to import."""
CALIBRATION = 200  # requests at most
Piped: TypeAlias = Mapping[str, Any] | None  # the figures against transformers' pipeline


@dataclass(frozen=True)
class Work:
    """What the stages hand on: the user's `options`, the loaded `source`, the table of variants,
    and the folder of the exported graph as a model directory with its `spec`."""

    options: Options
    source: Source
    ways: Ways
    folder: Path
    spec: ModelSpec
    target: Target


def prepare(options: Options, table: Ways | None = None) -> ModelSpec:
    """Make the model directory `options.out` and return its spec; `table` replaces the variants
    that are tried.

    Raises UsageError for what was asked, PrepareError for what the model cannot do; then
    `options.out` is as it was.
    """
    check(options)
    out = options.out.resolve()
    with silence_libraries(), staging(out) as work:
        source = _load(options)
        table = table or variant_table.shipped()
        table.asked(options)  # wrong names are told before the work
        folder = _export(source, work)
        made = Work(
            options,
            source,
            table,
            folder,
            record.describe(options, source, folder),
            Target.of(options.cpu),
        )
        fusion = _fuse(made, work)
        exam, spare = _exam(made)
        exam, piped = _prove(made, exam)
        held = select_variant.hold(
            options, table, _bench(made, work, fusion, [*exam.samples, *spare]), exam, made.target
        )
        spec = _finish(made, held, fusion, piped)
        with stage(f"write {out.name}"):
            record.write(spec, held.chosen.place)
            document.write(document.Facts(spec, held, fusion), held.chosen.place)
            publish(held.chosen.place, out)
    console.err.print(document.table(held))
    console.err.print(f"{held.chosen.name} is chosen: {held.why}", markup=False)
    return spec


def _load(options: Options) -> Source:
    try:
        with stage("start the tool-chain"):
            loader = importlib.import_module(LOADERS[options.kind])
    except ImportError as e:
        raise UsageError(
            f"{e}. Preparing a model needs the extra 'export': pip install"
            " 'onnxferry[export,image]'"
        ) from e
    source: Source = loader.load(options)
    return replace(source, ask=remembered(source.ask)) if source.ask else source


def _export(source: Source, work: Path) -> Path:
    """The exported graph and the tokenizer as a folder."""
    folder = work / "exported"
    folder.mkdir()
    with stage("export"):
        source.export(work / "exported.onnx")
        (work / "exported.onnx").rename(folder / MODEL_FILE)
        if source.tokenizer:
            (folder / TOKENIZER_FILE).write_text(source.tokenizer.json, encoding="utf-8")
    return folder


def _fuse(made: Work, work: Path) -> Fusion:
    from onnxferry.scripts.prepare.variants.fusion import Fusion

    try:
        with stage("fuse operators"):
            fusion = made.ways.fuse(
                made.folder / MODEL_FILE,
                work / "fused.onnx",
                variant_table.architecture(made.source.config),
            )
    except Exception as e:  # of a graph that the optimiser does not know
        fusion = Fusion(None, {}, {}, (f"the graph cannot be optimised: {type(e).__name__}: {e}",))
    for sentence in fusion.missing:
        console.err.print(f"    {sentence}", style="yellow", markup=False)
    return fusion


def _prove(made: Work, exam: Exam) -> tuple[Exam, Piped]:
    """That the exported graph gives the answers of its source, whose part it plays from here on."""
    record.write(made.spec, made.folder)
    # what cannot be answered is told before the long work
    golden.answer(made.folder, exam.samples[-1].request)
    if made.target.mismatch:
        console.err.print(made.target.mismatch, style="yellow", markup=False)
    with stage(f"verify the exported graph on {len(exam.samples)} inputs") as progress:
        exam = exam.opened(made.folder, progress)
    return exam, _compare(made, made.folder, exam, FP32)


def _bench(made: Work, work: Path, fusion: Fusion, real: Sequence[Sample]) -> Bench:
    """Where variants are made; `real` requests are what int8 is calibrated with."""
    from onnxferry.scripts.prepare.variants import Material

    truth = Truth(made.spec, made.folder, None)
    fed = [] if made.options.precision == FP32 else truth.feeds(real[-CALIBRATION:])
    material = Material(made.folder / MODEL_FILE, fusion.graph, fed)
    return Bench(work / "variants", made.folder, made.spec, material)


def _exam(made: Work) -> tuple[Exam, list[Sample]]:
    """What the variants are asked, and other items of the same evaluation set."""
    options, spec = made.options, made.spec
    asked = eval_set.read(options, spec)
    request = Sample(golden.request(spec, options.golden), "the golden request")
    inputs = [*samples(spec.task, options.inputs, spec.settings.get("mask_token", MASK)), request]
    gate = Gate(options.tolerance, options.min_agreement, options.max_loss)
    spare = eval_set.as_samples(asked.spare, asked.judge) if asked else []
    return Exam(Truth(spec, made.folder, made.source.run), inputs, gate, asked), spare


def _compare(made: Work, folder: Path, exam: Exam, precision: str) -> Piped:
    """The figures against transformers' own pipeline; None where it has none of the source."""
    if made.source.ask is None:
        return None
    with stage("compare with transformers' pipeline"):
        gate = replace(exam.gate, tolerance=exam.gate.of(precision))
        return compare(made.spec, folder, made.source.ask, exam.samples, gate)


def _finish(made: Work, held: Contest, fusion: Fusion, piped: Piped) -> ModelSpec:
    """The whole record of the chosen variant, with its golden answer."""
    from onnxferry.scripts.prepare import onnx_file_io  # onnx may not be installed: loaders say so

    trial, exam = held.chosen, held.exam
    onnx_file_io.split(trial.place / MODEL_FILE)
    spec = record.chosen(made.spec, trial.place, trial.variant.precision, made.target.kind)
    difference = _difference(made, trial)
    if trial.place != made.folder:
        piped = _compare(made, trial.place, exam, trial.variant.precision)
    if piped:
        difference = {**difference, "pipeline": piped}
    record.write(spec, trial.place)
    with stage("golden answer"):
        answer = golden.answer(trial.place, golden.request(spec, made.options.golden))
    provenance = {
        **spec.provenance,
        "difference": difference,
        "variants": [trial.record() for trial in held.trials],
        "fusion": dict(fusion.found),
        "data": dict(exam.questions.record) if exam.questions else {},
        "measured_on": made.target.record(),
    }
    return replace(spec, golden=answer, provenance=provenance)


def _difference(made: Work, trial: Trial) -> Mapping[str, Any]:
    if made.source.run is None and trial.variant is made.ways.variants[0]:
        return {"not measured": "no source model"}
    return trial.score.difference if trial.score else {}

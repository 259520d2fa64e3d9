"""One run of prepare, stage by stage. Nothing is visible at --out before the last.

sources: load, export -> variants: fuse -> verification: verify the exported graph -> selection:
make, evaluate, measure and choose a variant -> report: complete the spec, write
"""

from __future__ import annotations

import gc
import importlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxferry.scoring import cpu
from onnxferry.scoring.manifest import MODEL_FILE, TOKENIZER_FILE, TOLERANCE, Golden, ModelSpec
from onnxferry.scripts.datasets.built_in import MASK
from onnxferry.scripts.engines import not_loaded_by
from onnxferry.scripts.prepare import disk_space, estimate, model_directory, staging
from onnxferry.scripts.prepare.asked import asked
from onnxferry.scripts.prepare.cache.export_cache import ExportCache, cache_of
from onnxferry.scripts.prepare.options import FP32, HUGGINGFACE, INT8, MODULE, ONNX, Options, check
from onnxferry.scripts.prepare.report import document
from onnxferry.scripts.prepare.selection.candidate_tester import CandidateTester, VariantBuilder
from onnxferry.scripts.prepare.selection.cpu_target import CpuTarget
from onnxferry.scripts.prepare.selection.criteria import AcceptanceCriteria
from onnxferry.scripts.prepare.selection.select_variant import Selection, select_variant
from onnxferry.scripts.prepare.sources.hub.resolution import resolved
from onnxferry.scripts.prepare.sources.inspection import vocabulary
from onnxferry.scripts.prepare.sources.inspection.inspection import inspect
from onnxferry.scripts.prepare.sources.settings.user_settings import read_user_settings
from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.scripts.prepare.sources.user_inputs import Sample, read_inputs, samples
from onnxferry.scripts.prepare.variants.variant import VariantInputs
from onnxferry.scripts.prepare.verification import (
    eval_set,
    fitting,
    golden,
    graph_limits,
    shipped_tokenizer,
)
from onnxferry.scripts.prepare.verification.evaluator import Evaluator
from onnxferry.scripts.prepare.verification.graph_run import GraphRun
from onnxferry.scripts.prepare.verification.pipeline_comparison import PipelineReference
from onnxferry.scripts.prepare.verification.reference import ReferenceModel
from onnxferry.system import console
from onnxferry.system.errors import PrepareError, UsageError
from onnxferry.system.library_output import silence_libraries

if TYPE_CHECKING:  # they bring onnx, which may not be installed: the loaders say so
    from onnxferry.scripts.prepare.variants.fusion import Fusion
    from onnxferry.scripts.prepare.variants.table import VariantTable

# modules of sources/, imported on demand: torch and transformers take seconds
LOADERS = {HUGGINGFACE: "checkpoint", MODULE: "module_source", ONNX: "onnx_file"}
CALIBRATION = 200  # requests at most
# On another kind of CPU a last bit may become another integer: scores of a trained model (MiniLM)
# moved by up to 0.007, of 40 texts 10 by more than TOLERANCE.
GOLDEN_TOLERANCE = {INT8: 0.02}
_log = logging.getLogger(__name__)


@dataclass
class PrepareContext:
    """What goes through the stages, which set it in this order. `work` is deleted at the end."""

    options: Options
    work: Path
    criteria: AcceptanceCriteria
    cpu: CpuTarget
    origin: Mapping[str, str] = field(init=False)  # of the source, where it is the hub's
    asked: Mapping[str, Any] = field(init=False)
    source: ModelSource = field(init=False)
    has_model: bool = field(init=False)  # the source is another runtime's
    table: VariantTable = field(init=False)
    cache: ExportCache = field(init=False)
    exported: Path = field(init=False)  # the model directory of the graph in float32
    spec: ModelSpec = field(init=False)
    fusion: Fusion = field(init=False)
    built_in: Mapping[Sample, fitting.Shape] = field(init=False)  # requests that fit the model
    evaluator: Evaluator = field(init=False)
    pipeline: PipelineReference = field(init=False)
    pipeline_figures: Mapping[str, Any] = field(init=False)
    selection: Selection = field(init=False)
    final_spec: ModelSpec = field(init=False)


def prepare(
    options: Options, table: VariantTable | None = None, source: ModelSource | None = None
) -> ModelSpec:
    """Make the model directory `options.out` and return its spec; `table` and `source` replace what
    the options name. Raises UsageError or PrepareError; then `options.out` is as it was."""
    check(options)
    if source is None:
        inspected = inspect(options)
        for note in inspected.notes:
            console.err.print(note, style="yellow", markup=False)
        estimate.tell(estimate.before(inspected), ", more where mixed precision is needed")
    found = resolved(options)
    recorded, options = asked(options, found.record), found.options
    out = options.out.resolve()
    criteria = AcceptanceCriteria(options.tolerance, options.min_agreement, options.max_metric_drop)
    with silence_libraries(), staging.staging(out) as work:
        context = PrepareContext(options, work, criteria, CpuTarget.of(options.cpu, cpu.kind()))
        context.origin = found.record
        context.asked = recorded
        _load(context, table, source)
        _export(context)
        _fuse(context)
        _verify(context)
        _select(context)
        _complete(context)
        _write(context, out)
    chosen, why = context.selection.chosen, context.selection.why
    console.err.print(document.console_table(context.selection))
    console.err.print(f"{chosen.name} is chosen: {why}", markup=False)
    return context.final_spec


def _load(context: PrepareContext, table: VariantTable | None, source: ModelSource | None) -> None:
    try:
        with console.stage("start the tool-chain"):
            name = f"onnxferry.scripts.prepare.sources.{LOADERS[context.options.kind]}"
            loader = importlib.import_module(name)
    except ImportError as e:
        if (e.name or "").startswith("onnxferry"):
            raise
        need = "Preparing a model needs the extra 'export'"
        raise UsageError(f"{e}. {need}: pip install 'onnxferry[export,image]'") from e
    from onnxferry.scripts.prepare.variants.table import SHIPPED

    context.source = source or loader.load(context.options)
    context.cache = ExportCache(None) if source else cache_of(context.options, context.asked)
    vocabulary.check(context.source)
    context.has_model = context.source.run is not None
    context.table = table or SHIPPED
    context.table.asked(context.options)  # a wrong name is told before the work


def _export(context: PrepareContext) -> None:
    source, folder = context.source, context.work / "exported"
    folder.mkdir()
    if not context.cache.take(folder):
        with console.stage("export"):
            model_directory.write_graph(source.export, folder)
    if source.tokenizer:
        (folder / TOKENIZER_FILE).write_text(source.tokenizer.json, encoding="utf-8")
    weights = model_directory.graph_bytes(folder)
    disk_space.check(context.options, weights, done=disk_space.EXPORTED)
    record = {**source.record, **context.origin}
    provenance = {
        "source": record,
        "asked": context.asked,
        "tools": model_directory.tool_versions(),
        **shipped_tokenizer.record(folder / TOKENIZER_FILE),
    }
    name, task = context.options.model_name, source.task
    spec = ModelSpec(name, task, source.settings, source.labels, provenance=provenance)
    context.exported, context.spec = folder, model_directory.described(spec, folder)
    if source.tokenizer:
        given = read_user_settings(context.options.settings, task)
        context.spec = graph_limits.fitted(context.spec, folder, source.tokenizer, given)
    model_directory.write_spec(context.spec, folder)
    _tell_limits(context.spec, source)


def _tell_limits(spec: ModelSpec, source: ModelSource) -> None:
    """What the graph's format and shapes cost."""
    if older := ", ".join(not_loaded_by(spec.ir_version or 0, spec.opset or 0)):
        graph = f"opset {spec.opset}, IR version {spec.ir_version}"
        hosts = f"hosts with onnxruntime {older} do not load it"
        console.err.print(f"    {graph}: {hosts}", style="yellow", markup=False)
    length = spec.settings.get("max_length")
    if length != source.settings.get("max_length"):
        cut = f"max_length is {length} tokens: the graph runs no more"
        console.err.print(f"    {cut}", style="yellow", markup=False)


def _fuse(context: PrepareContext) -> None:
    from onnxferry.scripts.prepare.variants.encoder_architecture import Architecture
    from onnxferry.scripts.prepare.variants.fusion import Fusion

    graph, target = context.exported / MODEL_FILE, context.work / "fused.onnx"
    architecture = Architecture.of(context.source.config)
    try:
        with console.stage("fuse operators"):
            context.fusion = context.table.fuse(graph, target, architecture)
    except Exception as e:  # of a graph that the optimiser does not know
        _log.warning("the graph cannot be optimised", exc_info=True)
        missing = f"the graph cannot be optimised: {type(e).__name__}: {e}"
        context.fusion = Fusion(None, {}, {}, (missing,))
    for sentence in context.fusion.single:
        console.err.print(f"    {sentence}", style="dim", markup=False)
    for sentence in context.fusion.missing:
        console.err.print(f"    {sentence}", style="yellow", markup=False)


def _verify(context: PrepareContext) -> None:
    """From here on the exported graph is the reference, and the source model is let go."""
    options, spec, source = context.options, context.spec, context.source
    data = eval_set.read(options, spec)
    built_in = samples(spec.task, None, spec.settings.get("mask_token", MASK))
    context.built_in = fitting.accepted(spec, context.exported, built_in)
    _golden(context, spec, context.exported)  # what is refused is told before the long work
    asked = golden.requests(spec, options.golden, context.exported)
    own = [replace(sample, where="the golden request") for sample in asked]
    inputs = [*context.built_in, *read_inputs(options.inputs, spec.task), *own]
    if context.cpu.mismatch:
        console.err.print(context.cpu.mismatch, style="yellow", markup=False)
    graph = GraphRun(context.exported)
    context.cache.restore(source.run, graph.known)
    reference = ReferenceModel(spec, graph, source.run)
    bounds = context.criteria.bounds(FP32)
    with console.stage(f"verify the exported graph on {len(inputs)} inputs") as progress:
        evaluator = Evaluator(reference, inputs, data, graphs={context.exported: graph})
        context.evaluator = evaluator.verified(context.exported, bounds, progress)
    estimate.tell(estimate.after(options, context.evaluator), " more")
    context.pipeline = PipelineReference(source, context.cache.answers)
    context.pipeline_figures = context.pipeline.compare(spec, graph, inputs, bounds)
    context.cache.keep(context.exported, options)
    context.source = replace(source, export=_gone, run=None, pipeline=None)
    reference.let_go()
    context.pipeline.let_go()
    del source
    gc.collect()  # modules refer to each other


def _gone(path: Path) -> None:
    raise PrepareError(f"{path}: the source model was let go after its graph was verified")


def _select(context: PrepareContext) -> None:
    exported, evaluator = context.exported, context.evaluator
    data, calibration = evaluator.eval_set, []
    if context.options.precision != FP32:
        spare = eval_set.as_samples(data.spare, data.metric) if data else []
        real = [*evaluator.samples, *spare][-CALIBRATION:]
        calibration = evaluator.reference.feeds(real)
    inputs = VariantInputs(exported / MODEL_FILE, context.fusion.graph, calibration)
    builder = VariantBuilder(context.work / "variants", exported, inputs)
    tester = CandidateTester(builder, evaluator, context.criteria)
    context.selection = select_variant(context.options, context.table, tester, context.cpu)


def _complete(context: PrepareContext) -> None:
    chosen, data = context.selection.chosen, context.evaluator.eval_set
    folder, precision = chosen.model_dir, chosen.variant.precision
    kind = context.cpu.recorded if precision == INT8 else None
    spec = replace(context.spec, precision=precision, cpu=kind)
    spec = model_directory.described(spec, folder)
    model_directory.write_spec(spec, folder)
    if folder != context.exported:
        bounds, inputs = context.criteria.bounds(precision), context.evaluator.samples
        graph = context.evaluator.graph(folder)
        context.pipeline_figures = context.pipeline.compare(context.spec, graph, inputs, bounds)
    with console.stage("golden answer"):
        answer = _golden(context, spec, folder)
    provenance = {
        **spec.provenance,
        "difference": _difference(context),
        "variants": [result.record() for result in context.selection.results],
        "fusion": dict(context.fusion.found),
        "data": dict(data.record) if data else {},
        "measured_on": context.cpu.record(),
    }
    context.final_spec = replace(spec, golden=answer, provenance=provenance)


def _golden(context: PrepareContext, spec: ModelSpec, folder: Path) -> Golden:
    options, host = context.options, context.cpu.host or ""
    tolerance = options.golden_tolerance or GOLDEN_TOLERANCE.get(spec.precision, TOLERANCE)
    asked = golden.requests(spec, options.golden, folder)
    pictures = golden.pictures(spec)  # each must fit, as users send pictures of every shape
    several = context.built_in or {
        **dict.fromkeys(pictures, ()),
        **fitting.accepted(spec, folder, pictures),
    }
    return golden.answered(folder, asked, tolerance, host, several)


def _difference(context: PrepareContext) -> dict[str, Any]:
    chosen, pipeline = context.selection.chosen, context.pipeline_figures
    found: dict[str, Any] = {"not measured": "no source model"}
    if chosen.evaluation and (context.has_model or chosen.model_dir != context.exported):
        bounds = context.criteria.bounds(chosen.variant.precision)
        found = {**chosen.evaluation.difference, **asdict(bounds)}
    return {**found, "pipeline": pipeline} if pipeline else found


def _write(context: PrepareContext, out: Path) -> None:
    selection, spec = context.selection, context.final_spec
    folder = selection.chosen.model_dir
    with console.stage(f"write {out.name}"):
        model_directory.write_spec(spec, folder)
        document.write_report(spec, selection, context.fusion, folder)
        staging.publish(folder, out)

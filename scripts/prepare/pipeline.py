"""The stages of prepare, in order. Nothing is visible at --out before the last."""

from __future__ import annotations

import importlib
from dataclasses import replace
from pathlib import Path
from typing import Any

from scoring.contract import MODEL_FILE, TOKENIZER_FILE, ModelSpec
from scoring.engine import Session
from scripts.console import stage
from scripts.errors import UsageError
from scripts.prepare import golden, record
from scripts.prepare.options import HUGGINGFACE, MODULE, ONNX, Options, check
from scripts.prepare.quiet import quiet
from scripts.prepare.reference import compare
from scripts.prepare.samples import MASK, Sample, samples
from scripts.prepare.source import Ask, Run, Source
from scripts.prepare.staging import publish, staging
from scripts.prepare.verify import TOLERANCE, Gate, verify

LOADERS = {
    HUGGINGFACE: "scripts.prepare.checkpoint",
    MODULE: "scripts.prepare.module",
    ONNX: "scripts.prepare.onnx_file",
}  # imported on demand: they bring torch and transformers, which cost seconds and may not be installed


def prepare(options: Options) -> ModelSpec:
    """Make the model directory `options.out` and return its spec.

    Raises UsageError for what was asked, PrepareError for what the model cannot do; then `options.out` is as it was.
    """
    check(options)
    out = options.out.resolve()
    with quiet(), staging(out) as work:
        source = _load(options)
        folder = work / "model"
        folder.mkdir()
        fp32 = _export(options, source, work, folder)
        spec = record.describe(options, source, folder)
        spec = _prove(options, spec, folder, source.run or _fp32_run(options, fp32), source.ask)
        with stage(f"write {out.name}"):
            record.write(spec, folder)
            publish(folder, out)
    return spec


def _load(options: Options) -> Source:
    try:
        with stage("start the tool-chain"):
            loader = importlib.import_module(LOADERS[options.kind])
    except ImportError as e:
        raise UsageError(
            f"{e}. Preparing a model needs the extra 'export': pip install 'onnxferry[export,image]'"
        ) from e
    source: Source = loader.load(options)
    return source


def _export(options: Options, source: Source, work: Path, folder: Path) -> Path:
    """Write model.onnx and tokenizer.json into `folder`; the path of the unquantised graph."""
    exported, model = work / "exported.onnx", folder / MODEL_FILE
    with stage("export"):
        source.export(exported)
        if source.tokenizer:
            (folder / TOKENIZER_FILE).write_text(source.tokenizer.json, encoding="utf-8")
    if options.precision == "fp32":
        return exported.rename(model)
    from scripts.prepare.quantise import quantise

    with stage("quantise int8"):
        quantise(exported, model)
    return exported


def _fp32_run(options: Options, fp32: Path) -> Run | None:
    """The unquantised graph as the source model, where there is no other; None when nothing was changed."""
    if options.precision == "fp32":
        return None
    session = Session(fp32)
    return lambda feeds, _: session.run(feeds)


def _prove(options: Options, spec: ModelSpec, folder: Path, run: Run | None, ask: Ask | None) -> ModelSpec:
    """`spec` with the measured difference and the golden answer."""
    request = golden.request(spec, options.golden)
    mask = spec.settings.get("mask_token", MASK)
    inputs = [*samples(spec.task, options.inputs, mask), Sample(request, "the golden request")]
    difference: dict[str, Any] = {"not measured": "no source model"}
    if run:
        with stage(f"verify on {len(inputs)} inputs"):
            difference = verify(spec, folder, run, inputs, _gate(options))
    if ask:
        with stage("compare with transformers' pipeline"):
            difference["pipeline"] = compare(spec, folder, ask, inputs, _gate(options))
    record.write(spec, folder)
    with stage("golden answer"):
        return replace(spec, difference=difference, golden=golden.answer(folder, request))


def _gate(options: Options) -> Gate:
    default = TOLERANCE if options.precision == "fp32" else None
    return Gate(options.tolerance if options.tolerance is not None else default, options.min_agreement)

"""model_spec.json: the record of what was made, from what, by which tools."""

from __future__ import annotations

from dataclasses import replace
from importlib import metadata
from pathlib import Path

from onnxferry.scoring.engine import Session
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.scripts.prepare.options import FP32, INT8, Options
from onnxferry.scripts.prepare.sources.source import Source
from onnxferry.system.errors import PrepareError
from onnxferry.system.hashes import sha256

TOOLS = (
    "torch",
    "transformers",
    "optimum",
    "optimum-onnx",
    "peft",
    "onnx",
    "onnxruntime",
    "tokenizers",
)


def describe(options: Options, source: Source, folder: Path) -> ModelSpec:
    """The spec of the exported model in `folder`, still without golden request, difference and
    variants.

    Raises PrepareError when ONNX Runtime cannot load the model.
    """

    from onnxferry.scripts.prepare import onnx_file_io  # onnx may not be installed: loaders say so

    facts = onnx_file_io.facts(folder / MODEL_FILE)
    try:
        session = Session(folder / MODEL_FILE)
    except ModelError as e:
        raise PrepareError(str(e)) from e
    return ModelSpec(
        name=options.model_name,
        task=source.task,
        settings=source.settings,
        labels=source.labels,
        inputs=session.inputs,
        outputs=session.outputs,
        precision=FP32,
        opset=facts.opset,
        ir_version=facts.ir_version,
        files=hashes(folder),
        provenance={"source": source.record, "tools": tools()},
    )


def chosen(spec: ModelSpec, folder: Path, precision: str, cpu: str) -> ModelSpec:
    """`spec` of the variant in `folder`: what is not float32 is made for a kind of CPU."""
    from onnxferry.scripts.prepare import onnx_file_io  # onnx may not be installed: loaders say so

    facts = onnx_file_io.facts(folder / MODEL_FILE)
    session = Session(folder / MODEL_FILE)
    return replace(
        spec,
        inputs=session.inputs,
        outputs=session.outputs,
        precision=precision,
        cpu=cpu if precision == INT8 else None,
        opset=facts.opset,
        ir_version=facts.ir_version,
        files=hashes(folder),
    )


def hashes(folder: Path) -> dict[str, str]:
    """The sha256 of the files that a host needs."""
    files = {p.name for p in folder.glob(f"{MODEL_FILE}*")} | {TOKENIZER_FILE}
    return {name: sha256(folder / name) for name in sorted(files) if (folder / name).is_file()}


def tools() -> dict[str, str]:
    """The versions of what took part, of those that are installed."""
    found = {name: _version(name) for name in TOOLS}
    return {name: version for name, version in found.items() if version}


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def write(spec: ModelSpec, folder: Path) -> None:
    (folder / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")

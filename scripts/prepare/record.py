"""model_spec.json: the record of what was made, from what, by which tools."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

from scoring.contract import MODEL_FILE, SPEC_FILE, TOKENIZER_FILE, ModelSpec
from scoring.engine import Session
from scoring.errors import ModelError
from scripts.errors import PrepareError
from scripts.hashes import sha256
from scripts.prepare.options import Options
from scripts.prepare.source import Source

TOOLS = ("torch", "transformers", "optimum", "optimum-onnx", "peft", "onnx", "onnxruntime", "tokenizers")


def describe(options: Options, source: Source, folder: Path) -> ModelSpec:
    """The spec of the model in `folder`, still without golden request and difference.

    Raises PrepareError when ONNX Runtime cannot load the model.
    """
    from scripts.prepare import graph  # onnx may not be installed, which the loaders say

    facts = graph.facts(folder / MODEL_FILE)
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
        precision=options.precision,
        cpu="avx2" if options.precision == "int8" else None,
        opset=facts.opset,
        ir_version=facts.ir_version,
        files={n: sha256(folder / n) for n in (MODEL_FILE, TOKENIZER_FILE) if (folder / n).is_file()},
        source=source.record,
        tools=tools(),
    )


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

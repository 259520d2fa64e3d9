"""The model directory that prepare makes: what is in it, and its description."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from onnxferry.scoring.engine import Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.system.errors import PrepareError
from onnxferry.system.hashes import sha256

EXPORT_TOOLS = ("torch", "transformers", "optimum", "optimum-onnx", "peft")
TOOLS = (*EXPORT_TOOLS, "onnx", "onnxruntime", "tokenizers")
KEYED_TOOLS = (
    *TOOLS,
    *("numpy", "onnx-ir", "onnxscript", "pillow", "safetensors", "sentence-transformers"),
    *("sentencepiece", "torchvision"),
)


def described(spec: ModelSpec, folder: Path) -> ModelSpec:
    """`spec` with what is in `folder`. Raises PrepareError when ONNX Runtime cannot load it."""
    from onnxferry.scripts.prepare import onnx_file_io  # onnx may not be installed: loaders say so

    opset, ir_version = onnx_file_io.versions(folder / MODEL_FILE)
    try:
        session = Session(folder / MODEL_FILE, EngineOptions(prepack=False))  # it does not run
    except ModelError as e:
        raise PrepareError(str(e)) from e
    needed = sorted((*folder.glob(f"{MODEL_FILE}*"), *folder.glob(TOKENIZER_FILE)))
    files = {path.name: sha256(path) for path in needed}
    spec = replace(spec, inputs=session.inputs, outputs=session.outputs, files=files)
    return replace(spec, opset=opset, ir_version=ir_version)


def write_graph(export: Callable[[Path], None], folder: Path) -> None:
    """Write what `export` writes into `folder`, its weights beside it."""
    from onnxferry.scripts.prepare import onnx_file_io  # onnx may not be installed: loaders say so

    raw = folder.with_name("raw")
    raw.mkdir()
    export(raw / MODEL_FILE)
    onnx_file_io.copy(raw / MODEL_FILE, folder / MODEL_FILE)
    shutil.rmtree(raw)


def write_spec(spec: ModelSpec, folder: Path) -> None:
    """Write model_spec.json into `folder`."""
    (folder / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")


def graph_bytes(folder: Path) -> int:
    """The size of a graph with the weights beside it."""
    return sum(p.stat().st_size for p in folder.glob(f"{MODEL_FILE}*"))


def tool_versions(tools: Sequence[str] = TOOLS) -> dict[str, str]:
    """Those that are installed."""
    found: dict[str, str] = {}
    for name in tools:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found

"""The model directory that prepare makes: its spec is filled in from the graph, and it appears
whole or not at all."""

from __future__ import annotations

import contextlib
import secrets
import shutil
from collections.abc import Iterator
from dataclasses import replace
from importlib import metadata
from pathlib import Path

from onnxferry.scoring.engine import Session
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.system.errors import PrepareError
from onnxferry.system.hashes import sha256

TOOLS = (
    *("torch", "transformers", "optimum", "optimum-onnx", "peft"),
    *("onnx", "onnxruntime", "tokenizers"),
)


def described(spec: ModelSpec, folder: Path) -> ModelSpec:
    """`spec` with the inputs, outputs and versions of the graph in `folder`, and the files' hashes.
    Raises PrepareError when ONNX Runtime cannot load it, here or on the hosts."""
    from onnxferry.scripts.prepare import onnx_file_io  # onnx may not be installed: loaders say so

    versions = onnx_file_io.versions(folder / MODEL_FILE)
    try:
        session = Session(folder / MODEL_FILE)
    except ModelError as e:
        raise PrepareError(str(e)) from e
    return replace(
        spec,
        inputs=session.inputs,
        outputs=session.outputs,
        opset=versions.opset,
        ir_version=versions.ir_version,
        files=_hashes(folder),
    )


def _hashes(folder: Path) -> dict[str, str]:
    """The sha256 of the files that a host needs."""
    files = {*folder.glob(f"{MODEL_FILE}*"), folder / TOKENIZER_FILE}
    return {path.name: sha256(path) for path in sorted(files) if path.is_file()}


def write_spec(spec: ModelSpec, folder: Path) -> None:
    """Write model_spec.json into `folder`."""
    (folder / SPEC_FILE).write_text(spec.to_json(), encoding="utf-8")


def graph_bytes(folder: Path) -> int:
    """The size of a model directory's graph, with the weights beside it."""
    return sum(p.stat().st_size for p in folder.glob(f"{MODEL_FILE}*"))


def tool_versions() -> dict[str, str]:
    """The versions of TOOLS, of those that are installed."""
    found: dict[str, str] = {}
    for name in TOOLS:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


@contextlib.contextmanager
def staging(out: Path) -> Iterator[Path]:
    """A new folder beside `out`, gone at the end whatever happens; what is made in it is put in
    place by `publish`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    folder = _sibling(out)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def publish(folder: Path, out: Path) -> None:
    """Move `folder` to `out` and delete what was there; if that fails, `out` is as it was."""
    if not out.exists():
        folder.rename(out)
        return
    before = _sibling(out)
    out.rename(before)
    try:
        folder.rename(out)
    except BaseException:
        before.rename(out)
        raise
    shutil.rmtree(before, ignore_errors=True)


def _sibling(out: Path) -> Path:
    return out.with_name(f".{out.name}.{secrets.token_hex(4)}")

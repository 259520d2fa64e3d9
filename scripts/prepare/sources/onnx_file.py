"""An .onnx file as a source. It is its own reference: only quantising changes its answers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources.settings.user_settings import described_by_user
from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.system.hashes import combined_sha256
from onnxferry.system.text_files import read_object


def load(options: Options) -> ModelSource:
    """Describe the file from the model folder that it was found in; one given by itself from the
    user's flags and the config.json beside its tokenizer. Raises PrepareError for a missing file of
    weights."""
    path = Path(options.source)
    source = _by_folder(options.folder, options) if options.folder else _by_user(options)
    digest = combined_sha256(onnx_file_io.files(path))
    record = {"kind": "onnx", "name": path.name, "sha256": digest}
    return replace(source, export=lambda target: onnx_file_io.copy(path, target), record=record)


def _by_folder(folder: Path, options: Options) -> ModelSource:
    from onnxferry.scripts.prepare.sources import checkpoint

    return checkpoint.described(folder, options)


def _by_user(options: Options) -> ModelSource:
    path = options.tokenizer / "config.json" if options.tokenizer else None
    config = read_object(path) if path and path.is_file() else {}
    found = vars(described_by_user(options, config))
    return ModelSource(**found, export=lambda _: None, run=None)

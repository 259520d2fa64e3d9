"""An .onnx file as a source. It is its own reference: only quantising changes its answers."""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources.resolution import check_weights
from onnxferry.scripts.prepare.sources.settings import read_object
from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.scripts.prepare.sources.user_settings import described_by_user
from onnxferry.system.hashes import combined_sha256


def load(options: Options) -> ModelSource:
    """Describe the file from the model folder that it was found in; one given by itself from the
    user's flags and the config.json beside its tokenizer. Raises PrepareError for a missing file of
    weights."""
    path = Path(options.source)
    source = _by_folder(options.folder, options) if options.folder else _by_user(options)
    check_weights(path)
    beside = [path.parent / name for name in onnx_file_io.weight_files(path)]
    record = {"kind": "onnx", "name": path.name, "sha256": combined_sha256([path, *beside])}
    export = lambda target: _export(path, beside, target)  # noqa: E731
    return replace(source, export=export, record=record)


def _export(path: Path, beside: list[Path], target: Path) -> None:
    if not any(file.is_symlink() for file in beside):
        onnx_file_io.copy(path, target)
        return
    # the hub's cache is made of links, which onnx does not follow
    with tempfile.TemporaryDirectory(dir=target.parent) as work:
        for file in (path, *beside):
            place = Path(work) / file.relative_to(path.parent)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, place)
        onnx_file_io.copy(Path(work) / path.name, target)


def _by_folder(folder: Path, options: Options) -> ModelSource:
    from onnxferry.scripts.prepare.sources import checkpoint  # it brings torch

    return checkpoint.described(folder, options)


def _by_user(options: Options) -> ModelSource:
    path = options.tokenizer / "config.json" if options.tokenizer else None
    config = read_object(path) if path and path.is_file() else {}
    found = vars(described_by_user(options, config))
    return ModelSource(**found, export=lambda _: None, run=None)

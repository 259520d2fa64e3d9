"""An .onnx file as a source. It is its own reference: only quantising changes its answers."""

from __future__ import annotations

from pathlib import Path

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.scripts.prepare.sources.user_settings import described_by_user
from onnxferry.system.hashes import sha256
from onnxferry.system.text_files import read_object


def load(options: Options) -> ModelSource:
    """Describe the file from the user's flags and the config.json beside its tokenizer."""
    path = Path(options.source)
    config = options.tokenizer / "config.json" if options.tokenizer else None
    found = read_object(config) if config and config.is_file() else {}
    return ModelSource(
        **vars(described_by_user(options, found)),
        export=lambda target: onnx_file_io.copy(path, target),
        run=None,
        record={"kind": "onnx", "name": path.name, "sha256": sha256(path)},
    )

"""An existing .onnx file as a source. It is its own source model: only quantising it can change its
answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources import labels
from onnxferry.scripts.prepare.sources.image_settings import image_settings
from onnxferry.scripts.prepare.sources.settings import read_object, text_settings
from onnxferry.scripts.prepare.sources.source import TEXTLESS, ModelSource, TextTokenizer
from onnxferry.scripts.prepare.sources.user_settings import read_user_settings
from onnxferry.system.errors import UsageError
from onnxferry.system.hashes import sha256


def load(options: Options) -> ModelSource:
    """Describe the file from the user's flags, and from the config.json beside its tokenizer where
    there is one. Raises UsageError that names the flag that is missing or wrong."""
    path, task = Path(options.source), str(options.task)
    config = _config(options.tokenizer)
    tokenizer = _tokenizer(options, task)
    settings = read_user_settings(options.settings, task)
    if tokenizer:
        settings = text_settings(task, tokenizer, config, settings)
    elif task == "image-classification":
        settings = image_settings({}, settings)
    return ModelSource(
        task,
        lambda target: onnx_file_io.copy(path, target),
        None,
        settings,
        _labels(options, task, config),
        tokenizer,
        {"kind": "onnx", "name": path.name, "sha256": sha256(path)},
    )


def _config(folder: Path | None) -> Mapping[str, Any]:
    path = folder / "config.json" if folder else None
    return read_object(path) if path and path.is_file() else {}


def _tokenizer(options: Options, task: str) -> TextTokenizer | None:
    if task in TEXTLESS:
        return None
    if not options.tokenizer:
        raise UsageError(f"--tokenizer DIR is needed for {task} of {options.source}")
    from onnxferry.scripts.prepare.sources import huggingface

    return huggingface.read_tokenizer(options.tokenizer)


def _labels(options: Options, task: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The user's labels, else those of the config.json beside the tokenizer."""
    names = labels.read(options.labels, task)
    if task in labels.CLASSIFIERS and not names and config.get("id2label"):
        try:
            by_number = {int(key): name for key, name in config["id2label"].items()}
        except (AttributeError, ValueError) as e:
            path = f"{options.tokenizer}/config.json"
            raise UsageError(f"{path}: id2label must map numbers to names ({e})") from e
        names = labels.from_config(by_number)
    return labels.required(names, task, options.source)

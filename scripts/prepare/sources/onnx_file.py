"""An existing .onnx file, as a Source: it is its own source model, so only quantising it can change
its answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources import labels
from onnxferry.scripts.prepare.sources.image_settings import image_settings
from onnxferry.scripts.prepare.sources.settings import read_json, text_settings
from onnxferry.scripts.prepare.sources.source import TEXTLESS, Source, TextTokenizer
from onnxferry.scripts.prepare.sources.user_settings import read_given
from onnxferry.system.errors import UsageError
from onnxferry.system.hashes import sha256


def load(options: Options) -> Source:
    """Describe the file from the user's flags, and from the config.json beside its tokenizer where
    there is one."""
    path, task = Path(options.source), str(options.task)
    config = _config(options.tokenizer)
    tokenizer = _tokenizer(options, task)
    given = read_given(options.settings, task)
    settings = given
    if tokenizer:
        settings = text_settings(task, tokenizer, config, given)
    elif task == "image-classification":
        settings = image_settings({}, given)
    record = {"kind": "onnx", "name": path.name, "sha256": sha256(path)}
    return Source(
        task,
        lambda target: onnx_file_io.copy(path, target),
        None,
        settings,
        _labels(options, task, config),
        tokenizer,
        record,
    )


def _config(folder: Path | None) -> Mapping[str, Any]:
    path = folder / "config.json" if folder else None
    if path is None or not path.is_file():
        return {}
    config = read_json(path)
    if not isinstance(config, dict):
        raise UsageError(f"{path}: expected a JSON object, got {type(config).__name__}")
    return config


def _tokenizer(options: Options, task: str) -> TextTokenizer | None:
    if task in TEXTLESS:
        return None
    if not options.tokenizer:
        raise UsageError(f"--tokenizer DIR is needed for {task} of {options.source}")
    from onnxferry.scripts.prepare.sources import huggingface

    return huggingface.read_tokenizer(options.tokenizer)


def _labels(options: Options, task: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    names = labels.read(options.labels, task) or _configured(options, task, config)
    labels.check_entailment(names, task)
    return names


def _configured(options: Options, task: str, config: Mapping[str, Any]) -> tuple[str, ...]:
    """The labels of the config.json beside the tokenizer."""
    if task not in labels.CLASSIFIERS:
        return ()
    if not config.get("id2label"):
        raise UsageError(
            f"--labels FILE is needed: {options.source} does not tell the names of its labels"
        )
    try:
        return labels.from_config({int(key): name for key, name in config["id2label"].items()})
    except (AttributeError, ValueError) as e:
        raise UsageError(
            f"{options.tokenizer}/config.json: id2label must map numbers to names ({e})"
        ) from e

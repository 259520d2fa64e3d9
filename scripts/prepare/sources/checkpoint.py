"""A Hugging Face model folder, with or without an adapter, as a source."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.options import Options
from onnxferry.scripts.prepare.sources import huggingface, labels, pytorch
from onnxferry.scripts.prepare.sources.image_settings import (
    check_pixels,
    image_settings,
    is_complete,
)
from onnxferry.scripts.prepare.sources.settings import pooling_settings, text_settings
from onnxferry.scripts.prepare.sources.source import ModelSource
from onnxferry.scripts.prepare.sources.user_settings import read_user_settings
from onnxferry.system.console import stage
from onnxferry.system.errors import UsageError
from onnxferry.system.hashes import combined_sha256

_BY_SUFFIX = {
    "ForQuestionAnswering": "question-answering",
    "ForSequenceClassification": "text-classification",
    "ForImageClassification": "image-classification",
    "ForTokenClassification": "token-classification",
    "ForMaskedLM": "fill-mask",
    "Model": "feature-extraction",
}
_BY_PEFT = {
    "QUESTION_ANS": "question-answering",
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
}


def load(options: Options) -> ModelSource:
    """Load the model, merge the adapter, and derive the settings from the folder's own files.
    Raises UsageError or PrepareError that names the flag or file that is wrong."""
    folder = Path(options.source)
    config = huggingface.read_config(folder)
    task = options.task or infer_task(config, folder, options.adapter)
    names = _labels(options, config, task)
    with stage(f"load {folder.name}"):
        model = huggingface.load(folder, config, task, options.adapter)
    if options.adapter:
        with stage(f"merge adapter {options.adapter.name}"):
            model = huggingface.merge(model, options.adapter)
    source = ModelSource(
        task,
        lambda path: huggingface.export(model, path, task, options.opset or pytorch.OPSET),
        pytorch.runner(model),
        settings={},
        labels=names,
        record=_record(folder, type(model).__name__, options.adapter),
        config=config.to_dict(),
    )
    source = _with_settings(source, folder, options)
    length = source.settings.get("max_length")
    if length is None:
        return source
    tokenizer = options.tokenizer or folder
    return replace(source, pipeline=lambda: huggingface.pipeline(model, tokenizer, task, length))


def infer_task(config: Any, folder: Path, adapter: Path | None) -> str:
    """The task that the adapter, else the model, was trained for. A sentence-transformers folder
    makes embeddings, whatever head its configuration still names."""
    tuned = huggingface.adapter_config(adapter) if adapter else None
    if tuned and tuned.task_type in _BY_PEFT:
        return _BY_PEFT[tuned.task_type]
    if not tuned and (folder / "modules.json").is_file():
        return "feature-extraction"
    names = [(tuned.auto_mapping or {}).get("base_model_class", "")] if tuned else []
    for name in (*names, *(config.architectures or ())):
        for suffix, task in _BY_SUFFIX.items():
            if name.endswith(suffix):
                return task
    known = ", ".join(_BY_SUFFIX.values())
    raise UsageError(f"--task: cannot be told from the model's files; give one of {known}")


def _labels(options: Options, config: Any, task: str) -> tuple[str, ...]:
    """The user's labels, else the configuration's. With an adapter, which brings the head, the
    user's file also sets their number."""
    names = labels.read(options.labels, task)
    if task not in labels.CLASSIFIERS:
        return names
    names = names or labels.from_config(config.id2label)
    count = config.num_labels
    if len(names) != count and not options.adapter:
        raise UsageError(
            f"--labels {options.labels}: {len(names)} labels, but the model has {count}"
        )
    labels.check_entailment(names, task)
    config.id2label = dict(enumerate(names))
    config.label2id = {name: i for i, name in enumerate(names)}
    return names


def _with_settings(source: ModelSource, folder: Path, options: Options) -> ModelSource:
    given = read_user_settings(options.settings, source.task)
    if source.task == "image-classification":
        processor = None if is_complete(given) else huggingface.image_processor(folder)
        settings = image_settings(processor.to_dict() if processor else {}, given)
        if processor and not given:
            check_pixels(settings, processor)
        return replace(source, settings=settings)
    tokenizer = huggingface.read_tokenizer(options.tokenizer or folder)
    if source.task == "feature-extraction":
        given = {**pooling_settings(folder), **given}
    settings = text_settings(source.task, tokenizer, source.config, given)
    return replace(source, tokenizer=tokenizer, settings=settings)


def _record(folder: Path, architecture: str, adapter: Path | None) -> dict[str, Any]:
    """Where the weights come from: the names of the folders, not their paths on this machine."""
    record: dict[str, Any] = {
        "kind": "huggingface",
        "name": folder.resolve().name,
        "architecture": architecture,
        "sha256": combined_sha256(sorted(folder.glob("*.safetensors"))),
    }
    if adapter:
        digest = combined_sha256(sorted(adapter.glob("*.safetensors")))
        record["adapter"] = {"name": adapter.resolve().name, "sha256": digest, **_base(adapter)}
    return record


def _base(adapter: Path) -> dict[str, str]:
    config = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    name = config.get("base_model_name_or_path")
    return {"base_model": str(name)} if name and not Path(str(name)).is_absolute() else {}

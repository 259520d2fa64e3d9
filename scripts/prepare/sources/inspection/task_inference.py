"""The task of a model folder, from its configuration alone: nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.sources.settings import head_settings
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_object

HEADS = {  # task -> the class of transformers that loads its models
    "question-answering": "AutoModelForQuestionAnswering",
    "text-classification": "AutoModelForSequenceClassification",
    "feature-extraction": "AutoModel",
    "image-classification": "AutoModelForImageClassification",
    "token-classification": "AutoModelForTokenClassification",
    "zero-shot-classification": "AutoModelForSequenceClassification",
    "fill-mask": "AutoModelForMaskedLM",
    "image-feature-extraction": "AutoModel",
    "object-detection": "AutoModelForObjectDetection",
    "sentence-similarity": "AutoModel",
    "text-ranking": "AutoModelForSequenceClassification",
}
# they share a head with another task: asked for, or told by other files
_ASKED_FOR = ("zero-shot-classification", "text-ranking", "sentence-similarity")
_BY_HEAD = {
    head.removeprefix("AutoModel"): task
    for task, head in HEADS.items()
    if task not in _ASKED_FOR and head != "AutoModel"
}
_GENERATES = ("LMHeadModel", "ForCausalLM", "ForConditionalGeneration", "DoubleHeadsModel")
_BY_PEFT = {
    "QUESTION_ANS": "question-answering",
    "SEQ_CLS": "text-classification",
    "TOKEN_CLS": "token-classification",
}
CONFIG, ADAPTER_CONFIG, MODULES = "config.json", "adapter_config.json", "modules.json"


def infer_task(config: Mapping[str, Any], folder: Path, adapter: Path | None) -> str:
    """The task that the adapter, else the model, was trained for. `config`: its config.json;
    `folder`: of the model with all its modules. Raises UsageError where none can be told."""
    tuned = read_object(adapter / ADAPTER_CONFIG, "--adapter ") if adapter else {}
    if (known := tuned.get("task_type")) in _BY_PEFT:
        return _BY_PEFT[str(known)]
    if not adapter and (told := _told_by_files(config, folder)):
        return told
    base = (tuned.get("auto_mapping") or {}).get("base_model_class")
    names = [str(name) for name in (base, *_architectures(config)) if name]
    for name in names:
        if task := _of_class(name):
            return task
    choice = f"give one of {', '.join((*_BY_HEAD.values(), 'feature-extraction', *_ASKED_FOR))}"
    found = f" ({', '.join(names)})" if names else ""
    if any(name.endswith(_GENERATES) for name in names):
        choice = f"it generates text, for which there is no task; for another head of it, {choice}"
    raise UsageError(f"--task: cannot be told from the model's files{found}; {choice}")


def _told_by_files(config: Mapping[str, Any], folder: Path) -> str | None:
    """The task of sentence-transformers' models, and of a vision model without a head."""
    if head_settings.is_cross_encoder(folder, config):
        scores = len(config.get("id2label") or ()) or config.get("num_labels", 2)
        return "text-ranking" if scores == 1 else "text-classification"
    if (folder / MODULES).is_file():
        return "feature-extraction"
    bare = all(str(name).endswith("Model") for name in _architectures(config) or ("",))
    return "image-feature-extraction" if bare and head_settings.is_vision(config) else None


def _architectures(config: Mapping[str, Any]) -> list[Any]:
    found = config.get("architectures")
    return found if isinstance(found, list) else []


def _of_class(name: str) -> str | None:
    """By the head in a class's name; DeiT's has more after it. A model without a head embeds."""
    for head, task in _BY_HEAD.items():
        if head in name:
            return task
    embeds = name.endswith("Model") and not name.endswith(_GENERATES)
    return "feature-extraction" if embeds else None

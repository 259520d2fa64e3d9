"""Settings that only some tasks have, from the files of a model folder: how a cross-encoder's score
is read, how a detector's logits become objects, what a classifier of pictures was trained for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_object

SENTENCE_FILE = "config_sentence_transformers.json"
Settings = dict[str, Any]

_ACTIVATIONS = {"Sigmoid": "sigmoid", "Identity": "none"}  # torch's classes
# how transformers' image processor of each family reads logits: of one query the best label, "no
# object" being the last, or the best of all pairs of query and label
_DETECTORS: Mapping[str, tuple[str, int | None]] = {  # function_to_apply, top_k
    **dict.fromkeys(("detr", "yolos", "table-transformer"), ("softmax", None)),
    **dict.fromkeys(("rt_detr", "rt_detr_v2", "d_fine"), ("sigmoid", None)),
    "conditional_detr": ("sigmoid", 100),
}


def head_settings(task: str, folder: Path, config: Mapping[str, Any]) -> Settings:
    """What `folder`, whose config.json is `config`, says of a task's own settings. Raises
    UsageError for what the task cannot do."""
    return _READERS[task](folder, config) if task in _READERS else {}


def is_cross_encoder(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether sentence-transformers saved it as a CrossEncoder."""
    return _sentence_config(folder).get("model_type") == "CrossEncoder" or bool(
        _activation(folder, config)
    )


def is_vision(config: Mapping[str, Any]) -> bool:
    """Whether a model takes pictures alone."""
    return "num_channels" in config and "vocab_size" not in config


def _sentence_config(folder: Path) -> Mapping[str, Any]:
    path = folder / SENTENCE_FILE
    return read_object(path) if path.is_file() else {}


def _activation(folder: Path, config: Mapping[str, Any]) -> str | None:
    """The name of a cross-encoder's activation, from the places where versions 6, 4 and 2 of
    sentence-transformers write it."""
    own = config.get("sentence_transformers")
    named = own.get("activation_fn") if isinstance(own, dict) else None
    older = config.get("sbert_ce_default_activation_function")
    found = _sentence_config(folder).get("activation_fn") or named or older
    return str(found) if found else None


def _ranking(folder: Path, config: Mapping[str, Any]) -> Settings:
    if (count := len(config.get("id2label") or ())) > 1:
        what = f"the model gives {count} scores a pair; text-ranking needs one"
        raise UsageError(f"--task text-ranking: {what}. Is it one for --task text-classification?")
    if prompt := _sentence_config(folder).get("default_prompt_name"):
        raise UsageError(f"{folder / SENTENCE_FILE}: the prompt '{prompt}' cannot be applied yet")
    name = _activation(folder, config) or "Sigmoid"
    if (kind := name.rpartition(".")[2]) not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        advice = "train or convert it with one of them"
        what = f"the cross-encoder's activation {name} is none of {known}; {advice}"
        raise UsageError(f"{folder}: {what}")
    return {"function_to_apply": _ACTIVATIONS[kind]}


def _detection(folder: Path, config: Mapping[str, Any]) -> Settings:
    if (kind := config.get("model_type")) not in _DETECTORS:
        known = ", ".join(sorted(_DETECTORS))
        known += ". As an .onnx file with --settings any detector is taken whose outputs fit"
        raise UsageError(f"{folder}: object-detection by '{kind}' is not supported; known: {known}")
    function, top_k = _DETECTORS[str(kind)]
    return {"function_to_apply": function, "top_k": top_k}


def _problem(folder: Path, config: Mapping[str, Any]) -> Settings:
    return {"problem_type": config["problem_type"]} if config.get("problem_type") else {}


_READERS: Mapping[str, Callable[[Path, Mapping[str, Any]], Settings]] = {
    "text-ranking": _ranking,
    "object-detection": _detection,
    "image-classification": _problem,
}

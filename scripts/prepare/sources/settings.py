"""The settings of model_spec.json: what scoring must know to make tensors of a request, by task.

They are derived from the source model's own configuration, so that answers equal those of
transformers' pipeline. A user's settings file overrides key by key.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import UsageError

# tokens, where the model allows more: cost grows with the square. --settings raises it.
LONGEST = 512
DEFAULTS: dict[str, Mapping[str, Any]] = {
    "question-answering": {"max_answer_length": 15},
    "text-classification": {"problem_type": "single_label_classification"},
    "feature-extraction": {"pooling": "none", "normalize": False},
    "token-classification": {"aggregation_strategy": "none"},
    "fill-mask": {"top_k": 5},
    "image-classification": {"top_k": 5},
}
_OFFSET_POSITIONS = {  # families whose first position is pad_token_id + 1
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert"),
    *("longformer", "mpnet", "data2vec-text", "ibert", "xmod", "esm"),
}


def text_settings(
    task: str, tokenizer: TextTokenizer, config: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Settings of a text task: the defaults, what tokenizer and configuration say, then the user's,
    `given`. Raises UsageError for a length that the model cannot take, or a missing token."""
    derived: dict[str, Any] = {
        "max_length": _limit(tokenizer, config),
        "pad_token_id": tokenizer.pad_token_id,
        "pad_token_type_id": tokenizer.pad_token_type_id,
        "padding_side": tokenizer.padding_side,
    }
    if task == "text-classification":
        derived["problem_type"] = _problem_type(config)
    if task == "fill-mask":
        derived |= {
            "mask_token": tokenizer.mask_token,
            "clean_up_tokenization_spaces": tokenizer.clean_up_tokenization_spaces,
        }
    if task == "question-answering":
        derived |= _windows(given.get("max_length", derived["max_length"]))
    settings = {**DEFAULTS.get(task, {}), **derived, **given}
    _check_length(settings["max_length"], config)
    for key, what in (("pad_token_id", "padding"), ("mask_token", "mask")):
        if settings.get(key, "") is None:
            raise UsageError(f"the tokenizer has no {what} token; name one in --settings, as {key}")
    return settings


def _limit(tokenizer: TextTokenizer, config: Mapping[str, Any]) -> int:
    """The longest sequence in tokens, special ones included, that tokenizer, model and LONGEST
    allow."""
    limits = [n for n in (tokenizer.max_length, _positions(config)) if n]
    return min([*limits, LONGEST])


def _positions(config: Mapping[str, Any]) -> int | None:
    """How many positions the model has embeddings for; None where it has no table of them, or it is
    not known."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return None
    offset = config.get("model_type") in _OFFSET_POSITIONS
    return positions - (config.get("pad_token_id") or 0) - 1 if offset else positions


def _check_length(length: Any, config: Mapping[str, Any]) -> None:
    positions = _positions(config)
    if isinstance(length, bool) or not isinstance(length, int) or length < 8:
        wanted = "an integer of at least 8 tokens"
        raise UsageError(f"--settings: max_length must be {wanted}, got {length!r}")
    if positions and length > positions:
        held = f"the model has embeddings for {positions} positions"
        raise UsageError(f"--settings: max_length is {length}, but {held}")


def _windows(length: int) -> dict[str, int]:
    """How a context of more than `length` tokens is read, as transformers' pipeline does it: by
    windows of at most 384 tokens, each beginning with the last 128 of the one before."""
    return {"doc_stride": min(min(length, 384) // 2, 128)}


def _problem_type(config: Mapping[str, Any]) -> str:
    """As transformers' pipeline decides it: one label without a problem type gets a sigmoid."""
    if config.get("problem_type"):
        return str(config["problem_type"])
    one = len(config.get("id2label") or ()) == 1
    return "multi_label_classification" if one else "single_label_classification"


def pooling_settings(folder: Path) -> dict[str, Any]:
    """Pooling, normalisation and length of a sentence-transformers folder (modules.json); {} for
    any other.

    Raises UsageError for a kind of pooling that scoring does not have.
    """
    modules = _json(folder / "modules.json")
    if not modules:
        return {}
    kinds = {str(m["type"]).rpartition(".")[2]: m["path"] for m in modules}
    if unknown := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        path = folder / "modules.json"
        raise UsageError(f"{path}: module(s) {', '.join(unknown)} are not supported")
    found: dict[str, Any] = {"normalize": "Normalize" in kinds}
    if "Pooling" in kinds:
        found["pooling"] = _pooling(folder / kinds["Pooling"] / "config.json")
    if length := (_json(folder / "sentence_bert_config.json") or {}).get("max_seq_length"):
        found["max_length"] = length
    return found


def _pooling(path: Path) -> str:
    modes = {
        "pooling_mode_cls_token": "cls",
        "pooling_mode_mean_tokens": "mean",
        "pooling_mode_max_tokens": "max",
    }
    config = _json(path) or {}
    on = [key for key, value in config.items() if key.startswith("pooling_mode_") and value]
    if len(on) != 1 or on[0] not in modes:
        found, known = " + ".join(on) or "none", ", ".join(modes)
        raise UsageError(f"{path}: pooling {found} is not supported; known: {known}")
    return modes[on[0]]


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None


def read_json(path: Path, flag: str = "") -> Any:
    """The data of a file, which `flag` names. Raises UsageError where it is no JSON."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as e:
        raise UsageError(f"{flag}{path}: not readable as JSON ({e})") from e


def read_object(path: Path, flag: str = "") -> dict[str, Any]:
    """The object in a file, as read_json. Raises UsageError where it is none."""
    data = read_json(path, flag)
    if not isinstance(data, dict):
        raise UsageError(f"{flag}{path}: expected a JSON object, got {type(data).__name__}")
    return data

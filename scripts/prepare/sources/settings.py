"""The settings of model_spec.json by task, derived from the model's configuration, so that answers
equal transformers' pipeline's; a user's settings file overrides key by key."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_json

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
_POOLING = {"cls_token": "cls", "mean_tokens": "mean", "max_tokens": "max"}
_OFFSET_POSITIONS = {  # families whose first position is pad_token_id + 1
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert"),
    *("longformer", "mpnet", "data2vec-text", "ibert", "xmod", "esm"),
}


def text_settings(
    task: str, tokenizer: TextTokenizer, config: Mapping[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """Defaults, then what tokenizer and configuration say, then the user's, `given`."""
    of_tokenizer = ["pad_token_id", "pad_token_type_id", "padding_side"]
    if task == "fill-mask":
        of_tokenizer += ["mask_token", "clean_up_tokenization_spaces"]
    derived: dict[str, Any] = {name: getattr(tokenizer, name) for name in of_tokenizer}
    limits = (tokenizer.max_length, _positions(config), LONGEST)
    derived["max_length"] = min(limit for limit in limits if limit)
    if task == "text-classification":
        derived["problem_type"] = _problem_type(config)
    if task == "question-answering":
        derived["doc_stride"] = _stride(given.get("max_length", derived["max_length"]))
    settings = {**DEFAULTS.get(task, {}), **derived, **given}
    _check_length(settings["max_length"], config)
    for key, what in (("pad_token_id", "padding"), ("mask_token", "mask")):
        if settings.get(key, "") is None:
            raise UsageError(f"the tokenizer has no {what} token; name one in --settings, as {key}")
    return settings


def _positions(config: Mapping[str, Any]) -> int | None:
    """How many position embeddings the model has; None: not known."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return None
    offset = config.get("model_type") in _OFFSET_POSITIONS
    return positions - (config.get("pad_token_id") or 0) - 1 if offset else positions


def _check_length(length: Any, config: Mapping[str, Any]) -> None:
    positions = _positions(config)
    where = "--settings: max_length"
    if isinstance(length, bool) or not isinstance(length, int) or length < 8:
        raise UsageError(f"{where} must be an integer of at least 8 tokens, got {length!r}")
    if positions and length > positions:
        held = f"the model has embeddings for {positions} positions"
        raise UsageError(f"{where} is {length}, but {held}")


def _stride(length: int) -> int:
    """As transformers' pipeline, whose windows of 384 tokens overlap by 128."""
    return min(min(length, 384) // 2, 128)


def _problem_type(config: Mapping[str, Any]) -> str:
    """As transformers' pipeline: a single label gets a sigmoid."""
    if config.get("problem_type"):
        return str(config["problem_type"])
    one = len(config.get("id2label") or ()) == 1
    return "multi_label_classification" if one else "single_label_classification"


def pooling_settings(folder: Path) -> dict[str, Any]:
    """Pooling, normalisation, length of a sentence-transformers folder; {} for another."""
    path = folder / "modules.json"
    if not (modules := _json(path)):
        return {}
    kinds = {str(m["type"]).rpartition(".")[2]: m["path"] for m in modules}
    if unknown := sorted(set(kinds) - {"Transformer", "Pooling", "Normalize"}):
        raise UsageError(f"{path}: module(s) {', '.join(unknown)} are not supported")
    found: dict[str, Any] = {"normalize": "Normalize" in kinds}
    if "Pooling" in kinds:
        found["pooling"] = _pooling(folder / kinds["Pooling"] / "config.json")
    if length := (_json(folder / "sentence_bert_config.json") or {}).get("max_seq_length"):
        found["max_length"] = length
    return found


def _pooling(path: Path) -> str:
    prefix, config = "pooling_mode_", _json(path) or {}
    on = [key.removeprefix(prefix) for key in config if key.startswith(prefix) and config[key]]
    if len(on) != 1 or on[0] not in _POOLING:
        found, known = " + ".join(on) or "none", ", ".join(_POOLING)
        raise UsageError(f"{path}: pooling {found} is not supported; known: {known}")
    return _POOLING[on[0]]


def _json(path: Path) -> Any:
    return read_json(path) if path.is_file() else None

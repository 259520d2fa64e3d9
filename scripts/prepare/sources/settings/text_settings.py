"""The settings of model_spec.json by task, derived from the model's configuration, so that answers
equal transformers' pipeline's; a user's settings file overrides key by key."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from onnxferry.scripts.prepare.sources.settings.padding import resolve_pad_token
from onnxferry.scripts.prepare.sources.source import TextTokenizer
from onnxferry.system.errors import UsageError

# tokens, where the model allows more: cost grows with the square. --settings raises it.
LONGEST = 512
LONGEST_SENTENCE = 8192  # the same of a sentence-transformers folder that names no length
DEFAULTS: dict[str, Mapping[str, Any]] = {
    "question-answering": {"max_answer_length": 15},
    "text-classification": {"problem_type": "single_label_classification"},
    "feature-extraction": {"pooling": "none", "normalize": False},
    "token-classification": {"aggregation_strategy": "none"},
    "fill-mask": {"top_k": 5},
    "image-classification": {"top_k": 5},
    "image-feature-extraction": {"pool": False},
    "object-detection": {"threshold": 0.5, "function_to_apply": "softmax"},
    "sentence-similarity": {"pooling": "mean", "normalize": False, "similarity": "cosine"},
    "text-ranking": {"function_to_apply": "sigmoid"},
}
# the names of one number, as families call it
_POSITIONS = ("max_position_embeddings", "n_positions", "n_ctx", "max_seq_len", "seq_length")
_RELATIVE = {"t5", "mt5", "umt5", "xlnet", "bloom"}  # whose configurations name one all the same
_OFFSET_POSITIONS = {  # families whose first position is pad_token_id + 1
    *("roberta", "xlm-roberta", "xlm-roberta-xl", "roberta-prelayernorm", "camembert"),
    *("longformer", "mpnet", "data2vec-text", "ibert", "xmod", "esm"),
}


def text_settings(
    task: str,
    tokenizer: TextTokenizer,
    config: Mapping[str, Any],
    given: Mapping[str, Any],
    folder: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Defaults, then what tokenizer and configuration say, then what a sentence-transformers
    `folder` says, then the user's, `given`."""
    of_task = {**DEFAULTS.get(task, {}), **(folder or {})}
    derived = {**of_task, **_reading(task, tokenizer)}
    derived["max_length"] = _length(tokenizer, config, folder)
    derived["pad_token_id"] = resolve_pad_token(task, tokenizer, config, given)
    if task == "text-classification":
        derived["problem_type"] = _problem_type(config)
    if task == "question-answering":
        derived["doc_stride"] = _stride(given.get("max_length", derived["max_length"]))
    settings = {**derived, **given}
    _check_length(settings["max_length"], config)
    _check_reading(task, settings)
    return settings


def _reading(task: str, tokenizer: TextTokenizer) -> dict[str, Any]:
    """What tokenizer.json cannot hold; where it is the default, only what is always told."""
    found: dict[str, Any] = {"padding_side": tokenizer.padding_side}
    found["pad_token_type_id"] = tokenizer.pad_token_type_id
    if task == "fill-mask":
        names = ("mask_token", "clean_up_tokenization_spaces")
        found |= {name: getattr(tokenizer, name) for name in names}
    if tokenizer.truncation_side != "right":
        found["truncation_side"] = tokenizer.truncation_side
    if tokenizer.split_special_tokens:
        found["split_special_tokens"] = True
    if tokenizer.inputs and "token_type_ids" not in tokenizer.inputs:
        found["token_type_ids"] = False
    return found


def _length(
    tokenizer: TextTokenizer, config: Mapping[str, Any], folder: Mapping[str, Any] | None
) -> int:
    """In tokens. A sentence-transformers folder's own goes before the tokenizer's, as there."""
    own = (folder or {}).get("max_length")
    longest = LONGEST if folder is None else LONGEST_SENTENCE
    limits = (own,) if own else (tokenizer.max_length, longest)
    return int(min(limit for limit in (*limits, _positions(config)) if limit))


def _check_reading(task: str, settings: Mapping[str, Any]) -> None:
    if settings.get("mask_token", "") is None:
        raise UsageError("the tokenizer has no mask token; name one in --settings, as mask_token")
    if task == "question-answering" and settings.get("truncation_side") == "left":
        reads = "the tokenizer's truncation_side is left, but windows are read from the start"
        raise UsageError(f'{reads}; --settings may say {{"truncation_side": "right"}}')


def _positions(config: Mapping[str, Any]) -> int | None:
    """How many position embeddings the model has; None: not known."""
    names = () if config.get("model_type") in _RELATIVE else _POSITIONS
    found = (config.get(name) for name in names)
    positions = next((n for n in found if isinstance(n, int) and n > 0), None)
    if positions is None:
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

"""Fast tokenizers of Hugging Face folders, whichever major version of transformers saved them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from onnxferry.scripts.prepare.sources.source import prepare_errors
from onnxferry.system.errors import PrepareError
from onnxferry.system.text_files import read_object

LOCAL = {"local_files_only": True, "trust_remote_code": False}
MAJOR = int(transformers.__version__.split(".")[0])
CONFIG, JSON = "tokenizer_config.json", "tokenizer.json"
# what transformers 5 calls the tokenizer that is its tokenizer.json alone, and 4 does not know
_GENERIC = "TokenizersBackend"


def fast_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder. Raises PrepareError where there is none, or none that is fast."""
    # transformers raises many kinds, tokenizers bare Exception
    with prepare_errors(f"{folder}: transformers finds no tokenizer in it", Exception):
        tokenizer = _kind(folder).from_pretrained(folder, **_changed(folder), **LOCAL)
    if not tokenizer.is_fast:
        kind = type(tokenizer).__name__
        raise PrepareError(f"{folder}: {kind} has no fast form, so no {JSON} can be made")
    return tokenizer


def _kind(folder: Path) -> Any:
    held = _held(folder)
    generic = MAJOR < 5 and JSON in held and _config(folder).get("tokenizer_class") == _GENERIC
    return (
        transformers.PreTrainedTokenizerFast
        if _bare(folder) or generic
        else transformers.AutoTokenizer
    )


def _held(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()} if folder.is_dir() else set()


def _bare(folder: Path) -> bool:
    """Whether nothing but a tokenizer.json tells of the tokenizer."""
    held = _held(folder)
    return JSON in held and not held & {CONFIG, "config.json"}


def _changed(folder: Path) -> dict[str, Any]:
    """A bare tokenizer.json gives type ids, which transformers 5 would drop by default.
    transformers 5 saves its further special tokens as a list, under a name for which transformers 4
    wants an object."""
    if _bare(folder):
        return {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    named = _config(folder).get("extra_special_tokens")
    if MAJOR > 4 or not isinstance(named, list):
        return {}
    return {"extra_special_tokens": {}, "additional_special_tokens": named}


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIG
    return read_object(path) if path.is_file() else {}

"""Fast tokenizers of Hugging Face folders, whichever major version of transformers saved them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import transformers

from onnxferry.scoring.tokenization import Tokenizer
from onnxferry.scripts.prepare.sources.inspection.tokenizer_check import PROBES
from onnxferry.scripts.prepare.sources.source import prepare_errors
from onnxferry.system.errors import PrepareError
from onnxferry.system.text_files import read_object

LOCAL = {"local_files_only": True, "trust_remote_code": False}
MAJOR = int(transformers.__version__.split(".")[0])
CONFIG, JSON = "tokenizer_config.json", "tokenizer.json"
# what transformers 5 calls the tokenizer that is its tokenizer.json alone, and 4 does not know
_GENERIC = "TokenizersBackend"
_OLDER = "PreTrainedTokenizerFast"  # its name in transformers 4


def fast_tokenizer(folder: Path) -> Any:
    """The tokenizer of a folder. Raises PrepareError where there is none, or none that is fast."""
    # transformers raises many kinds, tokenizers bare Exception
    with prepare_errors(f"{folder}: transformers finds no tokenizer in it", Exception):
        tokenizer = _kind(folder).from_pretrained(folder, **_changed(folder), **LOCAL)
    if not tokenizer.is_fast:
        kind = type(tokenizer).__name__
        raise PrepareError(f"{folder}: {kind} has no fast form, so no {JSON} can be made")
    if MAJOR > 4 and (folder / JSON).is_file():
        _check_kept(folder / JSON, tokenizer)
    return tokenizer


def _check_kept(file: Path, tokenizer: Any) -> None:
    """Raise PrepareError where other tokens come of a Unigram or BPE file that transformers 4
    saved: that reads it whole (but for add_prefix_space), 5 makes the tokenizer of a model that it
    knows anew from the vocabulary, with the normalizer and the splitting that its class expects."""
    kind = read_object(file).get("model", {}).get("type")
    other = kind not in ("Unigram", "BPE") or "add_prefix_space" in _config(file.parent)
    if other or _saved_by(file.parent) >= MAJOR:
        return
    for text, whole in zip(PROBES, Tokenizer(file).encode(PROBES), strict=True):
        parts = (text,) if isinstance(text, str) else text
        if whole.tokens.ids.tolist() != tokenizer(*parts)["input_ids"]:
            made = f"{type(tokenizer).__name__} of transformers {transformers.__version__}"
            what = f"{made} does not keep all of it, and gives other tokens for {text!r}"
            advice = "prepare the model under transformers 4: pip install 'transformers>=4.57,<5'"
            raise PrepareError(f"{file}: {what}; {advice}")


def _saved_by(folder: Path) -> int:
    """The major version of transformers that saved the model; 0: not known."""
    path = folder / "config.json"
    found = str(read_object(path).get("transformers_version")) if path.is_file() else ""
    major = found.partition(".")[0]
    return int(major) if major.isdecimal() else 0


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
    """A bare tokenizer.json, and the generic class of transformers 4, give type ids, which
    transformers 5 would drop by default.
    transformers 5 saves its further special tokens as a list, under a name for which transformers 4
    wants an object."""
    said = _config(folder)
    older = MAJOR > 4 and said.get("tokenizer_class") == _OLDER and "model_input_names" not in said
    if _bare(folder) or older:
        return {"model_input_names": ["input_ids", "token_type_ids", "attention_mask"]}
    named = said.get("extra_special_tokens")
    if MAJOR > 4 or not isinstance(named, list):
        return {}
    return {"extra_special_tokens": {}, "additional_special_tokens": named}


def _config(folder: Path) -> Mapping[str, Any]:
    path = folder / CONFIG
    return read_object(path) if path.is_file() else {}

"""The settings in a tokenizer_config.json: which are known to be read, by transformers or here, or
to change nothing. Another one may change how texts are read, and is told, not passed over."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from onnxferry.system.text_files import read_object

FILE = "tokenizer_config.json"
_TOKENS = ("bos", "eos", "unk", "sep", "pad", "cls", "mask", "image", "video", "audio")
_READ = {  # by transformers, as it makes the tokenizer; or carried over here
    *(f"{name}_token" for name in _TOKENS),
    *("additional_special_tokens", "extra_special_tokens", "model_specific_special_tokens"),
    *("added_tokens_decoder", "tokenizer_class", "slow_tokenizer_class", "backend"),
    *("model_max_length", "model_input_names", "padding_side", "truncation_side"),
    *("pad_token_type_id", "split_special_tokens", "clean_up_tokenization_spaces"),
    *("do_lower_case", "do_basic_tokenize", "strip_accents", "tokenize_chinese_chars"),
    *("never_split", "keep_accents", "remove_space", "lowercase", "normalization"),
    *("add_prefix_space", "add_bos_token", "add_eos_token", "trim_offsets", "errors", "legacy"),
    *("add_dummy_prefix_space", "use_default_system_prompt", "spaces_between_special_tokens"),
    *("src_lang", "tgt_lang", "extra_ids", "vocab_type", "vocab_size", "sp_model_kwargs"),
    *(
        "cls_token_box",
        "sep_token_box",
        "pad_token_box",
        "pad_token_label",
        "only_label_first_subword",
    ),
    *("cls_token_segment_id", "do_remove_space", "do_split_by_punc", "truncate", "add_prefix"),
}
_HARMLESS = {  # what was written down of training, loading, chat, or a file's place
    *("name_or_path", "tokenizer_file", "vocab_file", "merges_file", "special_tokens_map_file"),
    *("full_tokenizer_file", "from_slow", "use_fast", "chat_template", "processor_class"),
    *("auto_map", "device_map", "is_local", "local_files_only", "max_length", "max_len"),
    *(
        "stride",
        "truncation",
        "truncation_strategy",
        "padding",
        "pad_to_multiple_of",
        "init_inputs",
    ),
    *("response_template", "transformers_version", "word_delimiter_token", "trust_remote_code"),
    *(
        "fast_tokenizer_files",
        "tokenizer_type",
        "return_tensors",
        "return_token_type_ids",
        "revision",
    ),
    *("torch_dtype", "dtype", "subfolder", "cache_dir", "token", "use_auth_token", "verbose"),
    *("max_seq_length", "unk_id", "wordpieces_prefix", "suppress_tokenizer_warnings"),
}


def mistakes(folder: Path) -> Iterator[str]:
    """What draws lots: the same text would be read in several ways."""
    pieces = _config(folder).get("sp_model_kwargs") or {}
    if isinstance(pieces, dict) and pieces.get("enable_sampling"):
        drawn = "sp_model_kwargs says enable_sampling, so a text is read another way each time"
        yield f"{folder / FILE}: {drawn}; take it out"


def notes(folder: Path) -> Iterator[str]:
    """What is not known, if anything."""
    if unknown := sorted(set(_config(folder)) - _READ - _HARMLESS):
        named = f"{folder / FILE}: {', '.join(unknown)}"
        yield f"{named}: not known here; if it changes how texts are read, compare the answers"


def _config(folder: Path) -> Mapping[str, Any]:
    return read_object(folder / FILE) if (folder / FILE).is_file() else {}

"""Tiny encoders of the kinds that people run, with random weights so large that attention matters,
as the graphs that transformers' models are exported to."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers

from onnxferry.scripts.prepare.sources.huggingface.torch_export import GraphRequest, export
from onnxferry.system.library_output import silence_libraries
from tests import tiny

SIZES = {
    "vocab_size": len(tiny.VOCABULARY),
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": 200,
    "initializer_range": 0.3,
    "pad_token_id": 0,
}
_LOCAL = {"local_attention": 8, "global_attn_every_n_layers": 2}
_NAMED = dict.fromkeys(("bos_token_id", "cls_token_id"), 2) | dict.fromkeys(
    ("eos_token_id", "sep_token_id"), 3
)
_DEBERTA = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 128,
    "norm_rel_ebd": "layer_norm",
    "position_biased_input": False,
    "type_vocab_size": 0,
    "share_att_key": True,
}
_KEYS = {"num_key_value_heads": 2, "head_dim": 12}
CONFIGS: Mapping[str, Mapping[str, Any]] = {  # the configuration's name -> what differs
    "XLMRoberta": {},
    "MPNet": {},
    "ModernBert": {**_LOCAL, **_NAMED},
    "DebertaV2": _DEBERTA,
    "Qwen3": _KEYS,
    "NomicBert": {},
    "Gte": {},
}
# those that this version of transformers has
ENCODERS = tuple(n for n in CONFIGS if hasattr(transformers, f"{n}Config"))


def config(name: str, **changes: Any) -> Any:
    """The configuration of a tiny encoder."""
    kind = getattr(transformers, f"{name}Config")
    return kind(**{**SIZES, **CONFIGS[name], **changes})


def exported(folder: Path, name: str, *more: str, **changes: Any) -> Path:
    """The graph of a tiny encoder: last_hidden_state of input_ids, attention_mask and `more`."""
    torch.manual_seed(0)
    path, inputs = folder / "exported.onnx", ["input_ids", "attention_mask", *more]
    with silence_libraries():
        given = config(name, **changes)
        model = transformers.AutoModel.from_config(given, attn_implementation="eager").eval()
        export(model.float(), path, GraphRequest("feature-extraction", inputs))
    return path

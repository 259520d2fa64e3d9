"""The tiny models as DeepSparse's users have them: config.json, tokenizer.json, model.onnx, and no
model_spec.json."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

from onnxferry.scoring.manifest import ModelSpec
from tests import tiny

MAKERS: dict[str, Callable[[Path], Path]] = {
    "qa": tiny.question_answering,
    "text": tiny.text_classification,
    "tokens": tiny.token_classification,
    "nli": tiny.zero_shot_classification,
    "embed": tiny.feature_extraction,
    "image": tiny.image_classification,
}
SPECIAL = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}


def folder(name: str, where: Path) -> Path:
    """One of MAKERS in `where`."""
    made = MAKERS[name](where)
    spec = ModelSpec.read(made)
    (made / "model_spec.json").unlink()
    if name == "image":
        return made
    sizes = {"vocab_size": len(tiny.VOCABULARY), "max_position_embeddings": 512, "pad_token_id": 0}
    named = {"id2label": {str(i): label for i, label in enumerate(spec.labels)}}
    config = {"model_type": "bert", **sizes, **(named if spec.labels else {})}
    tokenizer = {**SPECIAL, "model_max_length": 512, "padding_side": "right"}
    (made / "config.json").write_text(json.dumps(config))
    (made / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    (made / "special_tokens_map.json").write_text(json.dumps(SPECIAL))
    return made

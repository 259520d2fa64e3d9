"""A pair's model folder, as the transformers that runs saves it, and what its library answers."""

from __future__ import annotations

import inspect
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers

from tests.zoo import reference, vocabularies
from tests.zoo.pairs import HEADS, SIDE, Pair
from tests.zoo.vocabularies import LENGTH

ANSWERS = "answers.json"
SPREAD = 0.6  # of what a layer makes of inputs of spread 1: less, and all answers look alike


def build(pair: Pair, folder: Path) -> Path:
    """Make `folder`/model and `folder`/answers.json; returns the former."""
    model = folder / "model"
    model.mkdir(parents=True)
    torch.manual_seed(zlib.crc32(pair.name.encode()))
    words = vocabularies.save(pair.vocabulary, model) if pair.vocabulary else None
    network(pair, words).save_pretrained(model)
    if pair.processor:
        _processor(pair).save_pretrained(model)
    if pair.library == "sentence-transformers":
        _sentence_transformer(pair, model)
    (folder / ANSWERS).write_text(json.dumps(reference.answers(pair, model)), encoding="utf-8")
    return model


def network(pair: Pair, words: Any) -> Any:
    """The model with random weights, of which every one tells in the answers."""
    config = getattr(transformers, f"{pair.prefix}Config")
    given: dict[str, Any] = dict(pair.sizes)
    if pair.labels:
        given["id2label"] = dict(enumerate(pair.labels))
        given["label2id"] = {name: i for i, name in enumerate(pair.labels)}
    if words is not None:
        given |= {"vocab_size": max(words.get_vocab().values()) + 1, **_special_ids(words)}
    made = getattr(transformers, pair.prefix + (pair.head or HEADS[pair.task]))(config(**given))
    with torch.no_grad():
        for parameter in made.parameters():
            if parameter.dim() < 2:
                parameter.add_(0.05 * torch.randn_like(parameter))
                continue
            spread = float(parameter.std()) * parameter[0].numel() ** 0.5
            if 0 < spread < SPREAD:
                parameter.mul_(SPREAD / spread)
    return made.eval()


def _special_ids(words: Any) -> dict[str, Any]:
    names = ("pad", "bos", "eos", "cls", "sep")
    found = {f"{name}_token_id": getattr(words, f"{name}_token_id") for name in names}
    return {name: value for name, value in found.items() if value is not None}


def _processor(pair: Pair) -> Any:
    """Its image processor with its own way of doing things, for small pictures."""
    kind = getattr(transformers, f"{pair.processor}ImageProcessor")
    side = int(np.max(pair.sizes.get("image_size", SIDE)))
    default = kind().size
    size: dict[str, int] = dict.fromkeys(dict(default), side) or {"height": side, "width": side}
    given: dict[str, Any] = {"size": size}
    if "crop_size" in inspect.signature(kind.__init__).parameters or hasattr(kind, "crop_size"):
        given["crop_size"] = {"height": side, "width": side}
    return kind(**given)


def _sentence_transformer(pair: Pair, folder: Path) -> None:
    from sentence_transformers import SentenceTransformer
    from sentence_transformers import models as modules

    words = modules.Transformer(str(folder), max_seq_length=LENGTH)
    width = words.get_word_embedding_dimension()
    chain = [words, modules.Pooling(width, pooling_mode=pair.pooling), modules.Normalize()]
    SentenceTransformer(modules=chain, device="cpu").save(str(folder))

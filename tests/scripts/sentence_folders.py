"""Tiny sentence-transformers folders with random weights, as the installed library itself saves
them, and what serves them."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import sentence_transformers
import torch
import transformers
from tokenizers import ByteLevelBPETokenizer, processors

from onnxferry import scoring
from onnxferry.scoring.manifest import MODEL_FILE, TOKENIZER_FILE, ModelSpec
from onnxferry.scripts.datasets.built_in import BUILT_IN
from onnxferry.scripts.prepare import Options, model_directory
from onnxferry.scripts.prepare.sources import checkpoint
from onnxferry.scripts.prepare.sources.source import ModelSource
from tests.scripts import checkpoints

try:  # since 5.4
    modules = importlib.import_module("sentence_transformers.sentence_transformer.modules")
except ImportError:
    modules = importlib.import_module("sentence_transformers.models")

TEXTS = [
    "Good morning",
    "good day",
    "Rebecca SINGS, and she is 1946!",
    "a",
    "What is the middle name of Dolly Parton? " * 12,
    "the day when it was not very good and the day when it was",
    "naïve café 😀 in the middle of the day",
]
PAD, END = "<pad>", "<end>"


def byte_level(folder: Path, appended: bool = True, **config: Any) -> Any:
    """A byte-level tokenizer, as decoders have, that ends each text with END."""
    trained = ByteLevelBPETokenizer()
    texts = (BUILT_IN / "feature-extraction.jsonl").read_text(encoding="utf-8").splitlines()
    trained.train_from_iterator(texts, 340, special_tokens=[END, PAD])
    if appended:
        trained._tokenizer.post_processor = processors.Sequence(
            [
                processors.ByteLevel(trim_offsets=False),
                processors.TemplateProcessing(f"$A {END}", f"$A {END} $B {END}", [(END, 0)]),
            ]
        )
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=trained._tokenizer, **config)
    fast.save_pretrained(folder)
    return fast


DECODERS = {
    "qwen3": ("Qwen3Config", {"num_key_value_heads": 2, "head_dim": 8}),
    "mistral": ("MistralConfig", {"num_key_value_heads": 2}),
    "gpt2": ("GPT2Config", {}),
}


def decoder(folder: Path, family: str, kind: str = "AutoModel", **changes: Any) -> Path:
    """A decoder of two layers with 64 positions, and a tokenizer that pads on the left."""
    torch.manual_seed(0)
    name, sizes = DECODERS[family]
    shape = {**checkpoints.SIZES, **sizes, "max_position_embeddings": 64}
    if family == "gpt2":
        shape = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
    config = getattr(transformers, name)(
        vocab_size=340,
        initializer_range=0.3,
        **{"bos_token_id": 0, "eos_token_id": 0, **shape, **changes},
    )
    getattr(transformers, kind).from_config(config).save_pretrained(folder)
    byte_level(folder, pad_token=PAD, eos_token=END, padding_side="left")
    return folder


def saved(base: Path, folder: Path, *after: Any, **options: Any) -> Path:
    """`base` with the library's modules `after` it; `options` are the library's own, `text` those
    of its Transformer."""
    torch.manual_seed(1)
    text = modules.Transformer(str(base), **options.pop("text", {}))
    made = sentence_transformers.SentenceTransformer(
        modules=[text, *after], device="cpu", **options
    )
    made.save(str(folder))
    return folder


def version(folder: Path, saved_by: str) -> Path:
    """The folder as if another version of the library had saved it."""
    path = folder / "config_sentence_transformers.json"
    config = json.loads(path.read_text())
    config["__version__"]["sentence_transformers"] = saved_by
    path.write_text(json.dumps(config))
    return folder


def source(folder: Path, **options: Any) -> ModelSource:
    """As prepare loads it."""
    return checkpoint.load(Options(str(folder), folder / "out", **options))


def served(source: ModelSource, out: Path) -> scoring.Scorer:
    """The exported graph with the settings that prepare derives."""
    out.mkdir()
    source.export(out / MODEL_FILE)
    assert source.tokenizer
    (out / TOKENIZER_FILE).write_text(source.tokenizer.json, encoding="utf-8")
    spec = ModelSpec("tiny", source.task, source.settings, source.labels)
    model_directory.write_spec(model_directory.described(spec, out), out)
    return scoring.load(out)


def ask(scorer: scoring.Scorer, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scorer.handle(scoring.Request(body)).body)


def library(folder: Path, **options: Any) -> Any:
    """The library's own model."""
    return sentence_transformers.SentenceTransformer(str(folder), device="cpu", **options)


def changed(out: Path, **settings: Any) -> scoring.Scorer:
    """What was `served` into `out`, with other settings."""
    spec = ModelSpec.read(out)
    model_directory.write_spec(replace(spec, settings={**spec.settings, **settings}), out)
    return scoring.load(out)

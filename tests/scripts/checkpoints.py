"""Tiny Hugging Face folders with random weights, as transformers and peft themselves save them."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers
from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from tokenizers import ByteLevelBPETokenizer

from onnxferry.scripts.datasets.built_in import BUILT_IN
from onnxferry.scripts.prepare import Options
from tests import tiny

SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
}
LABELS = ("calm", "glad", "angry")
NLI = ("contradiction", "neutral", "entailment")
ENTITIES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
NAMES = {
    "text-classification": LABELS,
    "zero-shot-classification": NLI,
    "token-classification": ENTITIES,
}
HEADS = {
    "question-answering": "BertForQuestionAnswering",
    "text-classification": "BertForSequenceClassification",
    "feature-extraction": "BertModel",
    "token-classification": "BertForTokenClassification",
    "zero-shot-classification": "BertForSequenceClassification",
    "fill-mask": "BertForMaskedLM",
}
INT8, CPU = "int8-dynamic-u8s8-reduced", "avx2"  # weights of 7 bits: exact on every kind of CPU
MASK = {"mask_token": "[MASK]"}


def tokenizer(folder: Path, **special: str) -> Path:
    names = {
        **special,
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
    }
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tiny.tokenizer(),
        model_max_length=128,
        model_input_names=["input_ids", "token_type_ids", "attention_mask"],
        **names,
    )
    fast.save_pretrained(folder)
    return folder


def named(*labels: str) -> dict[str, Any]:
    """A configuration's names of its outputs; the default ones where there are no `labels`."""
    both = {
        "id2label": dict(enumerate(labels)),
        "label2id": {name: i for i, name in enumerate(labels)},
    }
    return both if labels else {}


def bert(folder: Path, task: str, **config: Any) -> Path:
    """A BERT of two layers with the head of `task`. The weights are large, so that answers differ
    clearly."""
    torch.manual_seed(0)
    names = named(*NAMES.get(task, ()))
    names |= config
    special = MASK if task == "fill-mask" else {}
    made = transformers.BertConfig(
        vocab_size=len(tiny.VOCABULARY) + len(special),
        max_position_embeddings=128,
        initializer_range=0.3,
        **SIZES,
        **names,
    )
    getattr(transformers, HEADS[task])(made).save_pretrained(folder)
    return tokenizer(folder, **special)


def roberta(folder: Path, task: str) -> Path:
    """A RoBERTa of two layers with its own kind of tokenizer: byte-level BPE, spaces inside of the
    tokens."""
    torch.manual_seed(0)
    trained = ByteLevelBPETokenizer()
    texts = (BUILT_IN / "feature-extraction.jsonl").read_text(encoding="utf-8").splitlines()
    trained.train_from_iterator(
        texts, 400, special_tokens=["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    )
    folder.mkdir(parents=True)
    trained.save_model(str(folder))
    fast = transformers.RobertaTokenizerFast(
        str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=128
    )
    fast.save_pretrained(folder)
    names = named(*NAMES.get(task, ()))
    made = transformers.RobertaConfig(
        vocab_size=len(fast),
        max_position_embeddings=130,
        type_vocab_size=1,
        initializer_range=0.3,
        **SIZES,
        **names,
    )
    getattr(transformers, HEADS[task].replace("Bert", "Roberta"))(made).save_pretrained(folder)
    return folder


def distilbert(folder: Path, **config: Any) -> Path:
    """A DistilBERT of two layers that classifies texts."""
    torch.manual_seed(0)
    made = transformers.DistilBertConfig(
        vocab_size=len(tiny.VOCABULARY),
        max_position_embeddings=128,
        initializer_range=0.3,
        dim=32,
        n_layers=2,
        n_heads=4,
        hidden_dim=48,
        **named(*LABELS),
        **config,
    )
    transformers.DistilBertForSequenceClassification(made).save_pretrained(folder)
    return tokenizer(folder)


def mpnet(folder: Path) -> Path:
    """An MPNet of two layers, whose attention has relative positions, that classifies texts."""
    torch.manual_seed(0)
    made = transformers.MPNetConfig(
        vocab_size=len(tiny.VOCABULARY),
        max_position_embeddings=130,
        initializer_range=0.3,
        **SIZES,
        **named(*LABELS),
    )
    transformers.MPNetForSequenceClassification(made).save_pretrained(folder)
    return tokenizer(folder)


def vit(folder: Path) -> Path:
    """A vision transformer of two layers for pictures of 32 x 32."""
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        initializer_range=0.3,
        id2label=dict(enumerate(LABELS)),
        **SIZES,
    )
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def adapter(
    base: Path, folder: Path, head: str = "BertForQuestionAnswering", whole: str = "qa_outputs"
) -> Path:
    """A LoRA adapter on `base` that brings the module `whole`, with weights as if it had been
    trained."""
    torch.manual_seed(1)
    model = getattr(transformers, head).from_pretrained(base)
    tuned = get_peft_model(
        model, LoraConfig(r=4, target_modules=["query", "value"], modules_to_save=[whole])
    )
    for layer in tuned.modules():
        if isinstance(layer, LoraLayer):
            torch.nn.init.normal_(layer.lora_B["default"].weight, std=0.3)
    tuned.save_pretrained(folder)
    return folder


@contextmanager
def working_directory(folder: Path, *modules: str) -> Iterator[None]:
    """Within the block `folder` is the working directory, from which `modules` are imported; they
    and what was put on the path are gone at its end."""
    before, path = Path.cwd(), list(sys.path)
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
        sys.path[:] = path
        for name in modules:
            sys.modules.pop(name, None)


def as_exported(source: str, out: Path, *more: Any, **options: Any) -> Options:
    """Options for one variant, which is soon made: by default the graph as exported."""
    return Options(source, out, *more, **{"variant": "fp32", **options})

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
# transformers 4 takes a backbone from timm unless it is told
_WITHOUT_TIMM: dict[str, Any] = (
    {"backbone": None, "use_timm_backbone": False, "use_pretrained_backbone": False}
    if transformers.__version__.startswith("4.")
    else {}
)
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


def roberta(folder: Path, task: str, **config: Any) -> Path:
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
    names = named(*NAMES.get(task, ())) | config
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


def vit(folder: Path, **config: Any) -> Path:
    """A vision transformer of two layers for pictures of 32 x 32."""
    torch.manual_seed(0)
    made = transformers.ViTConfig(
        image_size=32,
        patch_size=8,
        initializer_range=0.3,
        id2label=dict(enumerate(LABELS)),
        **SIZES,
        **config,
    )
    transformers.ViTForImageClassification(made).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    return folder


def cross_encoder(folder: Path, kind: str = "bert", **config: Any) -> Path:
    """A model of two layers with one score for a pair of texts."""
    one = {"id2label": {0: "LABEL_0"}, "label2id": {"LABEL_0": 0}, **config}
    return (bert if kind == "bert" else roberta)(folder, "text-classification", **one)


def scaled(model: Any, folder: Path) -> Path:
    """`model` with all of its weights drawn anew, large ones, so that answers differ clearly."""
    torch.manual_seed(0)
    for weights in model.parameters():
        torch.nn.init.normal_(weights, std=0.2 if weights.dim() > 1 else 0.3)
    model.save_pretrained(folder)
    return folder


def detr(folder: Path) -> Path:
    """A DETR of two layers over a small ResNet, that takes pictures of any size."""
    config = transformers.DetrConfig(
        backbone_config=transformers.ResNetConfig(
            embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], out_features=["stage2"]
        ),
        d_model=32,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=48,
        decoder_ffn_dim=48,
        num_queries=10,
        **_WITHOUT_TIMM,
        **named(*LABELS),
    )
    scaled(transformers.DetrForObjectDetection(config), folder)
    size = {"shortest_edge": 64, "longest_edge": 96}
    transformers.DetrImageProcessor(size=size).save_pretrained(folder)
    return folder


def yolos(folder: Path) -> Path:
    """A YOLOS of two layers, whose positions are interpolated to the picture's size."""
    config = transformers.YolosConfig(
        image_size=[48, 64], patch_size=16, num_detection_tokens=8, **SIZES, **named(*LABELS)
    )
    scaled(transformers.YolosForObjectDetection(config), folder)
    size = {"shortest_edge": 64, "longest_edge": 112}
    transformers.YolosImageProcessor(size=size).save_pretrained(folder)
    return folder


def rt_detr(folder: Path) -> Path:
    """An RT-DETR of two layers, for pictures of 64 x 64."""
    config = transformers.RTDetrConfig(
        backbone_config=transformers.RTDetrResNetConfig(
            embedding_size=8,
            hidden_sizes=[8, 8, 16, 16],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            out_features=["stage2", "stage3", "stage4"],
        ),
        encoder_hidden_dim=32,
        encoder_in_channels=[8, 16, 16],
        encoder_ffn_dim=48,
        encoder_attention_heads=4,
        d_model=32,
        decoder_in_channels=[32, 32, 32],
        decoder_ffn_dim=48,
        decoder_attention_heads=4,
        decoder_layers=2,
        num_queries=20,
        num_feature_levels=3,
        **_WITHOUT_TIMM,
        **named(*LABELS),
    )
    scaled(transformers.RTDetrForObjectDetection(config), folder)
    size = {"height": 64, "width": 64}
    transformers.RTDetrImageProcessor(size=size).save_pretrained(folder)
    return folder


_SIDE = {"height": 32, "width": 32}
_CROP = {"size": {"shortest_edge": 40}, "crop_size": _SIDE}
_NAMED_VISION: dict[str, tuple[Any, Any, dict[str, Any], dict[str, Any]]] = {
    "vit": (
        transformers.ViTConfig,
        transformers.ViTImageProcessor,
        {**SIZES, "image_size": 32, "patch_size": 8},
        {"size": _SIDE},
    ),
    "dinov2": (
        transformers.Dinov2Config,
        transformers.BitImageProcessor,
        {**SIZES, "image_size": 32, "patch_size": 8},
        _CROP,
    ),
    "convnext": (
        transformers.ConvNextConfig,
        transformers.ConvNextImageProcessor,
        {"hidden_sizes": [8, 16], "depths": [1, 1], "num_stages": 2},
        {"size": {"shortest_edge": 32}},
    ),
    "clip": (
        transformers.CLIPVisionConfig,
        transformers.CLIPImageProcessor,
        {**SIZES, "image_size": 32, "patch_size": 8},
        _CROP,
    ),
}
VISION = tuple(_NAMED_VISION)


def vision(folder: Path, kind: str) -> Path:
    """A vision model without a head."""
    make, processor, sizes, own = _NAMED_VISION[kind]
    scaled(transformers.AutoModel.from_config(make(**sizes)), folder)
    processor(**own).save_pretrained(folder)
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

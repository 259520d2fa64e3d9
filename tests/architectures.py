"""Transformers of five families, tiny and with random weights: each as transformers' own pipeline
and as a model directory of the same weights. Their tokenizers are trained here, so that words come
in pieces as in real models.
"""

from __future__ import annotations

import functools
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import transformers
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.prepare.sources.huggingface.torch_export import GraphRequest, export
from tests import tiny

LENGTH = 48  # tokens of the longest sequence
SCALE = 0.4  # of the weights: large, so that scores differ clearly
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
}
BERT_TOKENS = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
ROBERTA_TOKENS = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}

_WORDS = """
dolly rebecca parton sings in nashville since 1967 naïve café zürich unbelievable
internationalisation question answering restores the middle name of microsoft singer songwriter
don't can't rock-and-roll Ελλάδα 東京 москва 😀 👩‍🚀
𝔘𝔫𝔦𝔠𝔬𝔡𝔢 a an is was she he it very good bad awful great days 3.14 100% e-mail
"""
_RARE = "[SEP] </s> [UNK] <unk> \u200b ﬁne ＡＢＣ e\u0301te\u0301 🧑🏽 '' ... 🄰"
WORDS, RARE = _WORDS.split(), _RARE.split(" ")


def sentence(draw: random.Random, longest: int = 12) -> str:
    """Words of the corpus, parts of them glued together, punctuation, odd white space, and what no
    vocabulary has."""
    parts = []
    for _ in range(draw.randint(1, longest)):
        word = draw.choice(WORDS) if draw.random() < 0.95 else draw.choice(RARE)
        word = word[: draw.randint(1, len(word))] if draw.random() < 0.2 else word
        word = draw.choice([word, word, word.upper(), word.title(), word + draw.choice(WORDS)])
        parts.append(word + draw.choice(["", "", "", ",", ".", "!", "'s"]))
    return draw.choice([" ", " ", " ", "  ", "\t", "\n"]).join(parts)


def _corpus() -> list[str]:
    draw = random.Random(0)  # noqa: S311
    return [sentence(draw) for _ in range(300)]


def _wordpiece(tokens: dict[str, str], pair: str) -> Tokenizer:
    made = Tokenizer(models.WordPiece(unk_token=tokens["unk"]))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    made.train_from_iterator(
        _corpus(), trainers.WordPieceTrainer(vocab_size=300, special_tokens=list(tokens.values()))
    )
    return _framed(made, tokens, pair)


def _byte_pairs(tokens: dict[str, str]) -> Tokenizer:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    learn = trainers.BpeTrainer(
        vocab_size=450, special_tokens=list(tokens.values()), initial_alphabet=alphabet
    )
    made.train_from_iterator(_corpus(), learn)
    cls, sep = ((tokens[name], made.token_to_id(tokens[name]) or 0) for name in ("cls", "sep"))
    made.post_processor = processors.RobertaProcessing(
        sep, cls, trim_offsets=True, add_prefix_space=False
    )
    return made


def _unigram(tokens: dict[str, str], pair: str) -> Tokenizer:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    specials = list(tokens.values())
    made.train_from_iterator(
        _corpus(),
        trainers.UnigramTrainer(vocab_size=300, special_tokens=specials, unk_token=tokens["unk"]),
    )
    return _framed(made, tokens, pair)


def _framed(made: Tokenizer, tokens: dict[str, str], pair: str) -> Tokenizer:
    cls, sep = tokens["cls"], tokens["sep"]
    ids = [(token, made.token_to_id(token)) for token in (cls, sep)]
    made.post_processor = processors.TemplateProcessing(
        single=f"{cls} $A {sep}", pair=pair, special_tokens=ids
    )
    return made


@dataclass(frozen=True)
class Family:
    """One architecture: its names in transformers, how its tokenizer is made, and what its graph
    takes."""

    prefix: str
    make: Callable[[], Tokenizer]
    tokens: dict[str, str]
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    config: tuple[tuple[str, Any], ...] = ()


_TYPED = ("input_ids", "attention_mask", "token_type_ids")
FAMILIES = {
    "bert": Family(
        "Bert", lambda: _wordpiece(BERT_TOKENS, "[CLS] $A [SEP] $B:1 [SEP]:1"), BERT_TOKENS, _TYPED
    ),
    "distilbert": Family(
        "DistilBert",
        lambda: _wordpiece(BERT_TOKENS, "[CLS] $A [SEP] $B:1 [SEP]:1"),
        BERT_TOKENS,
        config=(
            ("dim", 32),
            ("n_layers", 2),
            ("n_heads", 4),
            ("hidden_dim", 64),
            ("seq_classif_dropout", 0.0),
        ),
    ),
    "roberta": Family("Roberta", lambda: _byte_pairs(ROBERTA_TOKENS), ROBERTA_TOKENS),
    "mpnet": Family(
        "MPNet", lambda: _wordpiece(ROBERTA_TOKENS, "<s> $A </s> </s> $B </s>"), ROBERTA_TOKENS
    ),
    "deberta-v2": Family(
        "DebertaV2",
        lambda: _unigram(BERT_TOKENS, "[CLS] $A [SEP] $B:1 [SEP]:1"),
        BERT_TOKENS,
        _TYPED,
        (
            ("relative_attention", True),
            ("pos_att_type", ["p2c", "c2p"]),
            ("position_buckets", 8),
            ("type_vocab_size", 2),
        ),
    ),
}
HEADS = {  # the class's ending
    "text-classification": "ForSequenceClassification",
    "zero-shot-classification": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "fill-mask": "ForMaskedLM",
    "feature-extraction": "Model",
}


@functools.cache
def tokenizer(family: str) -> Any:
    """The family's tokenizer, trained now."""
    return fast(family, FAMILIES[family].make())


def fast(family: str, made: Tokenizer) -> Any:
    """A tokenizer as transformers has it."""
    kind = FAMILIES[family]
    names = {f"{name}_token": token for name, token in kind.tokens.items() if name != "mask"}
    mask = AddedToken(kind.tokens["mask"], lstrip=family in ("roberta", "mpnet"), special=True)
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        model_max_length=LENGTH,
        model_input_names=list(kind.inputs),
        mask_token=mask,
        **names,
    )


def network(family: str, task: str, labels: tuple[str, ...], **config: Any) -> Any:
    """The model with random weights, large ones, so that scores differ clearly."""
    kind, ending = FAMILIES[family], HEADS[task]
    torch.manual_seed(len(labels))
    names = (
        {"id2label": dict(enumerate(labels)), "label2id": {n: i for i, n in enumerate(labels)}}
        if labels
        else {}
    )
    made = getattr(transformers, f"{kind.prefix}Config")(
        **{**SIZES, **dict(kind.config)},
        vocab_size=len(tokenizer(family)),
        max_position_embeddings=LENGTH + 4,
        pad_token_id=tokenizer(family).pad_token_id,
        initializer_range=SCALE,
        attn_implementation="eager",
        **names,
        **config,
    )
    return getattr(transformers, f"{kind.prefix}{ending}")(made).eval()


PER_FAMILY = 1000 // len(FAMILIES)  # inputs


def generator(family: str) -> random.Random:
    return random.Random(sorted(FAMILIES).index(family))  # noqa: S311


def size(words: Any, text: str) -> int:
    """How many tokens a text has."""
    return len(words(text, add_special_tokens=False)["input_ids"])


def sentences(family: str, words: Any = None) -> list[str]:
    """Short ones and long ones. None is without a token: the pipelines answer to such a text at
    random, and it is refused here."""
    words = words or tokenizer(family)
    draw, found = generator(family), list[str]()
    while len(found) < PER_FAMILY:
        if size(words, text := sentence(draw, draw.choice([3, 12, 40]))):
            found.append(text)
    return found


@dataclass(frozen=True)
class Twins:
    """One model twice: `pipeline(...)` is transformers' own, `folder` the model directory."""

    pipeline: Any
    folder: Path


def twins(
    family: str, task: str, folder: Path, labels: tuple[str, ...] = (), **settings: Any
) -> Twins:
    named = {k: v for k, v in settings.items() if k == "problem_type"}
    model, words = network(family, task, labels, **named), tokenizer(family)
    spec = ModelSpec(f"tiny-{family}", task, settings, labels)
    write(model, words, FAMILIES[family].inputs, spec, folder)
    return Twins(transformers.pipeline(task, model=model, tokenizer=words, device="cpu"), folder)


def write(model: Any, words: Any, inputs: tuple[str, ...], spec: ModelSpec, folder: Path) -> Path:
    """A model directory of `model` and its tokenizer."""
    folder.mkdir(parents=True)
    export(model, folder / "model.onnx", GraphRequest(spec.task, inputs))
    words.backend_tokenizer.save(str(folder / "tokenizer.json"))
    own = {"max_length": LENGTH, "pad_token_id": words.pad_token_id, **spec.settings}
    return tiny.write_spec(folder, replace(spec, settings=own))

"""Tokenizers of each kind, trained on a small corpus so that words come in pieces, and saved as
the transformers that runs saves them."""

from __future__ import annotations

import functools
import json
import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import transformers
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from tokenizers.processors import RobertaProcessing, TemplateProcessing

from tests.architectures import sentence

LENGTH = 64  # tokens of the longest sequence
SIZE = 420  # tokens in a vocabulary: byte-level ones begin with 256


@dataclass(frozen=True)
class Layout:
    """The special tokens, in the order of their ids, and how one text and two are framed; None: not
    at all."""

    specials: Mapping[str, str]
    single: str | None = None
    pair: str | None = None
    side: str = "right"


_BERT = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
_ROBERTA = {"cls": "<s>", "pad": "<pad>", "sep": "</s>", "unk": "<unk>", "mask": "<mask>"}
_XLNET = {**_ROBERTA, "cls": "<cls>", "sep": "<sep>"}
LAYOUTS = {
    "bert": Layout(_BERT, "[CLS] $A [SEP]", "[CLS] $A [SEP] $B:1 [SEP]:1"),
    "roberta": Layout(_ROBERTA, "<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "xlnet": Layout(_XLNET, "$A <sep> <cls>:2", "$A <sep> $B:1 <sep>:1 <cls>:2", "left"),
    "xlm-r": Layout(_ROBERTA, "<s> $A </s>", "<s> $A </s> </s> $B </s>"),
    "bare": Layout({"eos": "<|endoftext|>", "pad": "<|pad|>"}),
    "clip": Layout(
        {"bos": "<|startoftext|>", "eos": "<|endoftext|>"}, "<|startoftext|> $A <|endoftext|>"
    ),
    "bos": Layout({"unk": "<unk>", "bos": "<s>", "eos": "</s>"}, "<s> $A", "<s> $A <s>:1 $B:1"),
    "gemma": Layout(
        {"pad": "<pad>", "eos": "<eos>", "bos": "<bos>", "unk": "<unk>"}, "<bos> $A", None
    ),
    "eos": Layout({"pad": "<pad>", "eos": "</s>", "unk": "<unk>"}, "$A </s>", "$A </s> $B </s>"),
}


def _word_piece(unknown: str, specials: list[str]) -> tuple[Tokenizer, Any]:
    made = Tokenizer(models.WordPiece(unk_token=unknown))
    made.normalizer = normalizers.BertNormalizer()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.decoder = decoders.WordPiece()
    return made, trainers.WordPieceTrainer(vocab_size=SIZE, special_tokens=specials)


def _word_level(unknown: str, specials: list[str]) -> tuple[Tokenizer, Any]:
    made = Tokenizer(models.WordLevel(unk_token=unknown))
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    return made, trainers.WordLevelTrainer(vocab_size=SIZE, special_tokens=specials)


def _byte_bpe(unknown: str, specials: list[str]) -> tuple[Tokenizer, Any]:
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    return made, trainers.BpeTrainer(
        vocab_size=SIZE, special_tokens=specials, initial_alphabet=alphabet
    )


def _spaced_bpe(unknown: str, specials: list[str]) -> tuple[Tokenizer, Any]:
    made = Tokenizer(models.BPE(unk_token=unknown, fuse_unk=True, byte_fallback=False))
    made.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse()])
    return made, trainers.BpeTrainer(vocab_size=SIZE, special_tokens=specials)


def _unigram(unknown: str, specials: list[str]) -> tuple[Tokenizer, Any]:
    made = Tokenizer(models.Unigram())
    made.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    made.pre_tokenizer = pre_tokenizers.Metaspace()
    made.decoder = decoders.Metaspace()
    return made, trainers.UnigramTrainer(
        vocab_size=SIZE, special_tokens=specials, unk_token=unknown
    )


KINDS = {
    "WordPiece": _word_piece,
    "WordLevel": _word_level,
    "byte-level BPE": _byte_bpe,
    "SentencePiece BPE": _spaced_bpe,
    "Unigram": _unigram,
}
AS_SENTENCEPIECE = ("xlm-r",)  # as the files of these models: nothing is normalised here
GENERIC = "PreTrainedTokenizerFast"  # transformers 5 saves it as TokenizersBackend


@dataclass(frozen=True)
class Vocabulary:
    """A tokenizer: its kind, its framing, the class that transformers loads it as, and what of its
    tokenizer_config.json is not the default."""

    kind: str
    layout: str
    loaded_as: str = GENERIC
    config: tuple[tuple[str, Any], ...] = ()

    @property
    def specials(self) -> Mapping[str, str]:
        return LAYOUTS[self.layout].specials


@functools.cache
def _trained(kind: str, layout: str) -> Tokenizer:
    framing = LAYOUTS[layout]
    specials = list(framing.specials.values())
    made, trainer = KINDS[kind](framing.specials.get("unk", specials[0]), specials)
    draw = random.Random(0)  # noqa: S311
    made.train_from_iterator([sentence(draw) for _ in range(300)], trainer)
    if kind == "Unigram" and layout in AS_SENTENCEPIECE:
        made.normalizer = None
        made.pre_tokenizer = pre_tokenizers.Sequence(
            [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace()]
        )
    made = _mask_last(made) if layout == "xlm-r" else made
    if framing.single and kind == "byte-level BPE" and layout == "roberta":
        sep, cls = ((text, made.token_to_id(text) or 0) for text in ("</s>", "<s>"))
        made.post_processor = RobertaProcessing(sep, cls, add_prefix_space=False)
    elif framing.single:
        ids = [(token, made.token_to_id(token)) for token in specials]
        pair = framing.pair or f"{framing.single} $B:1"
        made.post_processor = TemplateProcessing(
            single=framing.single, pair=pair, special_tokens=ids
        )
    return made


def _mask_last(made: Tokenizer) -> Tokenizer:
    """With the mask token at the end of the vocabulary, where XLM-RoBERTa has it."""
    data = json.loads(made.to_str())
    vocabulary, mask = data["model"]["vocab"], made.token_to_id("<mask>")
    vocabulary.append(vocabulary.pop(mask))
    for token in data["added_tokens"]:
        if token["content"] == "<mask>":
            token |= {"id": len(vocabulary) - 1, "lstrip": True}
        elif token["id"] > mask:
            token["id"] -= 1
    return Tokenizer.from_str(json.dumps(data))


def save(vocabulary: Vocabulary, folder: Path) -> Any:
    """Write the tokenizer's files into `folder`, by transformers itself, and return it."""
    made = _trained(vocabulary.kind, vocabulary.layout)
    made.save(str(folder / "tokenizer.json"))
    names: dict[str, Any] = {f"{name}_token": text for name, text in vocabulary.specials.items()}
    config = {
        "tokenizer_class": vocabulary.loaded_as,
        "model_max_length": LENGTH,
        "padding_side": LAYOUTS[vocabulary.layout].side,
        **names,
        **dict(vocabulary.config),
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    loaded = transformers.AutoTokenizer.from_pretrained(folder)
    loaded.save_pretrained(folder)
    return loaded

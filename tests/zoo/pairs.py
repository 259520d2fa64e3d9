"""The pairs: which architectures, with which head and which tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.zoo.vocabularies import GENERIC, LENGTH, Vocabulary

SIDE = 32  # pixels of a picture
LABELS = ("calm", "glad", "angry")
NLI = ("contradiction", "neutral", "entailment")
ENTITIES = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
NAMES = {
    "text-classification": LABELS,
    "image-classification": LABELS,
    "object-detection": LABELS,
    "zero-shot-classification": NLI,
    "token-classification": ENTITIES,
    "text-ranking": ("relevance",),
}
HEADS = {
    "text-classification": "ForSequenceClassification",
    "zero-shot-classification": "ForSequenceClassification",
    "text-ranking": "ForSequenceClassification",
    "token-classification": "ForTokenClassification",
    "question-answering": "ForQuestionAnswering",
    "fill-mask": "ForMaskedLM",
    "feature-extraction": "Model",
    "sentence-similarity": "Model",
    "image-classification": "ForImageClassification",
    "image-feature-extraction": "Model",
    "object-detection": "ForObjectDetection",
}
SIZES = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 64,
    "max_position_embeddings": LENGTH + 4,
}


@dataclass(frozen=True)
class Pair:
    """One model. `prefix`: its classes in transformers, without Config, Model or ForTask. `sizes`:
    its configuration. `library`: what it is saved by and compared with. `refused`: the reason that
    prepare gives, as a pattern, where it is not taken."""

    architecture: str
    task: str
    prefix: str
    vocabulary: Vocabulary | None = None
    sizes: Mapping[str, Any] = field(default_factory=lambda: SIZES)
    processor: str = ""
    library: str = "transformers"
    pooling: str = ""
    head: str = ""
    refused: str = ""

    @property
    def generic(self) -> bool:
        """Whether transformers 5 saves the tokenizer as TokenizersBackend."""
        return self.vocabulary is not None and self.vocabulary.loaded_as == GENERIC

    @property
    def name(self) -> str:
        kind = self.vocabulary.kind if self.vocabulary else "pixels"
        parts = [self.architecture, self.task, kind, *(["generic"] if self.generic else [])]
        return "-".join(parts).replace(" ", "-").lower()

    @property
    def labels(self) -> tuple[str, ...]:
        return NAMES.get(self.task, ())


def _words(kind: str, layout: str, loaded_as: str = "", **config: Any) -> Vocabulary:
    return Vocabulary(kind, layout, loaded_as or GENERIC, tuple(config.items()))


_TYPED = ["input_ids", "token_type_ids", "attention_mask"]
_PLAIN = ["input_ids", "attention_mask"]
BERT = _words("WordPiece", "bert", "BertTokenizer")
WORDS = _words("WordLevel", "bert", model_input_names=_TYPED)
ROBERTA = _words("byte-level BPE", "roberta", "RobertaTokenizer")
XLM_R = _words("Unigram", "xlm-r", "XLMRobertaTokenizer")
CAMEMBERT = _words("Unigram", "xlm-r", "CamembertTokenizer")
DISTIL = _words("WordPiece", "bert", "DistilBertTokenizer")
MPNET = _words("WordPiece", "roberta", "MPNetTokenizer")
PLAIN_WORDPIECE = _words("WordPiece", "bert", model_input_names=_PLAIN)
TYPED_UNIGRAM = _words("Unigram", "bert", model_input_names=_TYPED)
PLAIN_UNIGRAM = _words("Unigram", "bert", model_input_names=_PLAIN)
BYTES = _words("byte-level BPE", "bert", model_input_names=_PLAIN)
OPT = _words("byte-level BPE", "roberta", model_input_names=_PLAIN)
FNET = _words("Unigram", "bert", "FNetTokenizer")
MBART = _words("Unigram", "eos", model_input_names=_PLAIN)
T5 = _words("Unigram", "eos", model_input_names=_PLAIN)
BARE = _words("byte-level BPE", "bare", model_input_names=_PLAIN)
LLAMA = _words("SentencePiece BPE", "bos", model_input_names=_PLAIN, **{"pad_token": "</s>"})

_DECODER = {**SIZES, "num_key_value_heads": 2, "head_dim": 8}
_GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64}
_DISTIL = {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 64, "max_position_embeddings": 64}
_DEBERTA = {
    **SIZES,
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 8,
    "type_vocab_size": 0,
}
_BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "max_position_embeddings": 64,
}
NO_DECODER = "no trained weights for decoder"  # AutoModel wants an encoder and a decoder
_T5 = {
    "d_model": 32,
    "d_kv": 8,
    "d_ff": 64,
    "num_layers": 2,
    "num_heads": 4,
    "decoder_start_token_id": 0,
}
_VIT = {k: v for k, v in SIZES.items() if k != "max_position_embeddings"} | {
    "image_size": SIDE,
    "patch_size": 8,
}
_SWIN = {
    "image_size": SIDE,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [1, 1],
    "num_heads": [2, 2],
    "window_size": 4,
}
_STAGES = {"hidden_sizes": [16, 24, 32, 32], "depths": [1, 1, 1, 1]}

_CLASSIFY = "text-classification"


def _bert_like() -> list[Pair]:
    bert = ("token-classification", "question-answering", "fill-mask", "feature-extraction")
    return [
        *(Pair("BERT", task, "Bert", BERT) for task in (_CLASSIFY, *bert)),
        Pair("BERT", "zero-shot-classification", "Bert", BERT),
        Pair("BERT", _CLASSIFY, "Bert", WORDS),
        Pair("DistilBERT", _CLASSIFY, "DistilBert", PLAIN_WORDPIECE, _DISTIL),
        Pair("DistilBERT", "question-answering", "DistilBert", DISTIL, _DISTIL),
        Pair("RoBERTa", _CLASSIFY, "Roberta", ROBERTA),
        Pair("RoBERTa", "question-answering", "Roberta", ROBERTA),
        Pair("RoBERTa", "fill-mask", "Roberta", ROBERTA),
        Pair("XLM-RoBERTa", "token-classification", "XLMRoberta", XLM_R),
        Pair("XLM-RoBERTa", "zero-shot-classification", "XLMRoberta", XLM_R),
        Pair("CamemBERT", "fill-mask", "Camembert", CAMEMBERT),
        Pair("ELECTRA", _CLASSIFY, "Electra", BERT, {**SIZES, "embedding_size": 16}),
        Pair("ALBERT", _CLASSIFY, "Albert", TYPED_UNIGRAM, {**SIZES, "embedding_size": 16}),
        Pair("MPNet", _CLASSIFY, "MPNet", MPNET),
        Pair("DeBERTa", _CLASSIFY, "Deberta", BYTES, {**_DEBERTA, "pos_att_type": ["c2p", "p2c"]}),
        Pair("DeBERTa-v3", _CLASSIFY, "DebertaV2", TYPED_UNIGRAM, _DEBERTA),
        Pair("DeBERTa-v3", "token-classification", "DebertaV2", TYPED_UNIGRAM, _DEBERTA),
        Pair("DeBERTa-v3", "zero-shot-classification", "DebertaV2", TYPED_UNIGRAM, _DEBERTA),
        Pair("ModernBERT", _CLASSIFY, "ModernBert", BYTES, _MODERN),
        Pair("ModernBERT", "fill-mask", "ModernBert", BYTES, _MODERN),
        Pair("MobileBERT", _CLASSIFY, "MobileBert", BERT, _MOBILE),
        Pair("SqueezeBERT", _CLASSIFY, "SqueezeBert", BERT, {**SIZES, "embedding_size": 32}),
        Pair("ConvBERT", _CLASSIFY, "ConvBert", BERT, {**SIZES, "embedding_size": 32}),
        Pair("FNet", _CLASSIFY, "FNet", FNET, refused="its Fourier transform cannot be exported"),
        Pair("Funnel", _CLASSIFY, "Funnel", BERT, _FUNNEL, refused="exported for one length alone"),
        Pair("LayoutLM", "token-classification", "LayoutLM", BERT),
        Pair("BigBird", _CLASSIFY, "BigBird", PLAIN_UNIGRAM, {**SIZES, "block_size": 4}),
        Pair(
            "Longformer",
            _CLASSIFY,
            "Longformer",
            ROBERTA,
            {**SIZES, "attention_window": 8},
            refused="this architecture is not supported: it needs global_attention_mask",
        ),
        Pair("XLNet", _CLASSIFY, "XLNet", _XLNET_WORDS, _XLNET),
        Pair("Nystromformer", _CLASSIFY, "Nystromformer", PLAIN_UNIGRAM, _NYSTROM),
        Pair("RoFormer", _CLASSIFY, "RoFormer", WORDS, {**SIZES, "embedding_size": 32}),
        Pair("ERNIE", _CLASSIFY, "Ernie", BERT),
        Pair("data2vec", _CLASSIFY, "Data2VecText", ROBERTA),
        Pair("RemBERT", _CLASSIFY, "RemBert", TYPED_UNIGRAM, _REMBERT),
        Pair("MEGATRON-BERT", _CLASSIFY, "MegatronBert", BERT),
        Pair("I-BERT", _CLASSIFY, "IBert", ROBERTA),
        Pair("XLM-RoBERTa-XL", _CLASSIFY, "XLMRobertaXL", XLM_R),
    ]


_MODERN = {**SIZES, "global_attn_every_n_layers": 2, "local_attention": 8}
_MOBILE = {
    **SIZES,
    "embedding_size": 32,
    "intra_bottleneck_size": 32,
    "true_hidden_size": 32,
    "use_bottleneck": True,
}
_FUNNEL = {"block_sizes": [1, 1], "d_model": 32, "n_head": 4, "d_head": 8, "d_inner": 64}
_XLNET = {"d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 64}
_XLNET_WORDS = _words("Unigram", "xlnet", pad_token_type_id=3)
_NYSTROM = {**SIZES, "num_landmarks": 16, "segment_means_seq_len": 16, "conv_kernel_size": 5}
_REMBERT = {**SIZES, "input_embedding_size": 16, "output_embedding_size": 32}


def _decoders() -> list[Pair]:
    return [
        Pair("GPT-2", _CLASSIFY, "GPT2", BARE, _GPT2),
        Pair("GPT-2", "token-classification", "GPT2", BARE, _GPT2),
        Pair("GPT-Neo", _CLASSIFY, "GPTNeo", BARE, _GPTNEO),
        Pair("GPT-NeoX", _CLASSIFY, "GPTNeoX", BARE),
        Pair(
            "OPT",
            _CLASSIFY,
            "OPT",
            _words("byte-level BPE", "roberta", model_input_names=_PLAIN),
            _OPT,
        ),
        Pair("BLOOM", _CLASSIFY, "Bloom", BARE, {"hidden_size": 32, "n_layer": 2, "n_head": 4}),
        Pair("Llama", _CLASSIFY, "Llama", LLAMA, _DECODER),
        Pair("Mistral", _CLASSIFY, "Mistral", LLAMA, {**_DECODER, "sliding_window": 16}),
        Pair("Qwen2", _CLASSIFY, "Qwen2", BARE, _DECODER),
        Pair("Qwen3", _CLASSIFY, "Qwen3", BARE, _DECODER),
        Pair("Gemma", _CLASSIFY, "Gemma", _GEMMA_WORDS, _DECODER),
        Pair("Gemma 2", _CLASSIFY, "Gemma2", _GEMMA_WORDS, {**_DECODER, "sliding_window": 16}),
        Pair("Phi-3", _CLASSIFY, "Phi3", BARE, {**SIZES, "num_key_value_heads": 2}),
        Pair("BART", _CLASSIFY, "Bart", ROBERTA, _BART),
        Pair("BART", "zero-shot-classification", "Bart", ROBERTA, _BART),
        Pair("BART", "question-answering", "Bart", ROBERTA, _BART),
        Pair("mBART", _CLASSIFY, "MBart", MBART, _BART),
        Pair("T5", "feature-extraction", "T5", T5, _T5, head="EncoderModel", refused=NO_DECODER),
        Pair("T5", _CLASSIFY, "T5", T5, {**_T5, "decoder_start_token_id": 0}),
    ]


_GEMMA_WORDS = _words("SentencePiece BPE", "gemma", model_input_names=_PLAIN)
_GPTNEO = {
    "hidden_size": 32,
    "num_layers": 2,
    "num_heads": 4,
    "attention_types": [[["global", "local"], 1]],
    "window_size": 8,
    "max_position_embeddings": 64,
}
_OPT = {**SIZES, "ffn_dim": 64, "word_embed_proj_dim": 32}


def _embeddings() -> list[Pair]:
    found = "feature-extraction"
    st = "sentence-transformers"
    return [
        Pair("MiniLM", found, "Bert", BERT, library=st, pooling="mean"),
        Pair("BGE", found, "XLMRoberta", XLM_R, library=st, pooling="cls"),
        Pair("MPNet", found, "MPNet", MPNET, library=st, pooling="mean"),
        Pair("GTE ModernBERT", found, "ModernBert", BYTES, _MODERN, library=st, pooling="cls"),
        Pair("Qwen3 Embedding", found, "Qwen3", _QWEN, _DECODER, library=st, pooling="lasttoken"),
        Pair("E5 Mistral", found, "Mistral", _MISTRAL, _DECODER, library=st, pooling="lasttoken"),
        Pair("DistilBERT", found, "DistilBert", DISTIL, _DISTIL, library=st, pooling="max"),
    ]


_QWEN = _words("byte-level BPE", "bare", padding_side="left", model_input_names=_PLAIN)
_MISTRAL = _words("SentencePiece BPE", "bos", padding_side="left", **{"pad_token": "</s>"})


def _vision() -> list[Pair]:
    task = "image-classification"

    flipped = Pair(
        "MobileViT",
        task,
        "MobileViT",
        sizes=_MOBILEVIT,
        processor="MobileViT",
        refused="do_flip_channel_order, which cannot be derived",
    )

    def pair(name: str, prefix: str, sizes: Mapping[str, Any], processor: str) -> Pair:
        return Pair(name, task, prefix, sizes=sizes, processor=processor)

    return [
        pair("ViT", "ViT", _VIT, "ViT"),
        pair("DeiT", "DeiT", _VIT, "DeiT"),
        pair("BEiT", "Beit", _VIT, "Beit"),
        pair("Swin", "Swin", _SWIN, "ViT"),
        pair("Swin v2", "Swinv2", _SWIN, "ViT"),
        pair("ConvNeXT", "ConvNext", _STAGES, "ConvNext"),
        pair("ConvNeXT v2", "ConvNextV2", _STAGES, "ConvNext"),
        pair("ResNet", "ResNet", {**_STAGES, "embedding_size": 16}, "ConvNext"),
        pair("RegNet", "RegNet", {**_STAGES, "embedding_size": 16, "groups_width": 8}, "ConvNext"),
        pair("MobileNet v1", "MobileNetV1", {"depth_multiplier": 0.25}, "MobileNetV1"),
        pair("MobileNet v2", "MobileNetV2", {"depth_multiplier": 0.35}, "MobileNetV2"),
        flipped,
        pair("DINOv2", "Dinov2", _VIT, "Bit"),
        pair("EfficientNet", "EfficientNet", _EFFICIENT, "EfficientNet"),
        pair("LeViT", "Levit", _LEVIT, "Levit"),
        pair("PoolFormer", "PoolFormer", _STAGES, "PoolFormer"),
        pair(
            "FocalNet", "FocalNet", {"image_size": SIDE, "embed_dim": 16, "depths": [1, 1]}, "Bit"
        ),
    ]


_MOBILEVIT = {
    "image_size": SIDE,
    "patch_size": 2,
    "hidden_sizes": [16, 24, 32],
    "neck_hidden_sizes": [8, 8, 16, 16, 24, 32, 64],
    "num_attention_heads": 4,
}
_EFFICIENT = {
    "image_size": SIDE,
    "width_coefficient": 0.25,
    "depth_coefficient": 0.25,
    "hidden_dim": 320,
}
_LEVIT = {
    "image_size": 64,
    "hidden_sizes": [16, 24, 32],
    "num_attention_heads": [2, 3, 4],
    "depths": [1, 1, 1],
    "key_dim": [8, 8, 8],
    "down_ops": [["Subsample", 8, 2, 4, 2, 2], ["Subsample", 8, 3, 4, 2, 2]],
}


def _newer_tasks() -> list[Pair]:
    """Cross-encoders, similarity, pictures as vectors, and detectors."""
    rank, vectors, detect = "text-ranking", "image-feature-extraction", "object-detection"
    st = "sentence-transformers"
    return [
        Pair("BERT", rank, "Bert", BERT),
        Pair("XLM-RoBERTa", rank, "XLMRoberta", XLM_R),
        Pair("ModernBERT", rank, "ModernBert", BYTES, _MODERN),
        Pair("MiniLM", "sentence-similarity", "Bert", BERT, library=st, pooling="mean"),
        Pair("ViT", vectors, "ViT", sizes=_VIT, processor="ViT"),
        Pair("DINOv2", vectors, "Dinov2", sizes=_VIT, processor="Bit"),
        Pair("YOLOS", detect, "Yolos", sizes=_YOLOS, processor="Yolos"),
        Pair("DETR", detect, "Detr", sizes=_DETR, processor="Detr"),
    ]


_YOLOS = {**_VIT, "image_size": [SIDE, SIDE], "num_detection_tokens": 5}
_DETR = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "num_queries": 5,
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
    "backbone_config": {
        "model_type": "resnet",
        "embedding_size": 16,
        "out_features": ["stage4"],
        **_STAGES,
    },
}
PAIRS = [*_bert_like(), *_decoders(), *_embeddings(), *_vision(), *_newer_tasks()]

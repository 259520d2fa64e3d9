"""Tiny real models, built in a moment: a graph, a tokenizer and a spec that together are a model
directory.

The graphs compute something that a test can predict: each looks every token id up in a table of the
test's own.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from onnxferry.scoring.limits import Limits
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.wire import Request

SPECIALS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
WORDS = [
    "what",
    "is",
    "the",
    "middle",
    "name",
    "of",
    "dolly",
    "rebecca",
    "parton",
    "who",
    "sings",
    "where",
    "when",
    "good",
    "bad",
    "great",
    "awful",
    "day",
    "not",
    "very",
    "a",
    "an",
    "in",
    "1946",
    "was",
    "born",
    "and",
    "she",
    "he",
    "it",
    "😀",
    "naïve",
    "café",
    "!",
    "?",
    ".",
    ",",
]
VOCABULARY = {word: i for i, word in enumerate(SPECIALS + WORDS)}


def tokenizer() -> Tokenizer:
    """A word-level tokenizer in BERT's layout: [CLS] first [SEP] second [SEP]."""
    made = Tokenizer(models.WordLevel(VOCABULARY, unk_token="[UNK]"))  # noqa: S106
    made.normalizer = normalizers.Lowercase()
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", VOCABULARY["[CLS]"]), ("[SEP]", VOCABULARY["[SEP]"])],
    )
    return made


def _table(rows: Mapping[str, Sequence[float]], width: int) -> np.ndarray[Any, Any]:
    table = np.zeros((len(VOCABULARY), width), np.float32)
    for word, values in rows.items():
        table[VOCABULARY[word]] = values
    return table


def _ids(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])


def _save(path: Path, graph: onnx.GraphProto) -> None:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


def span_graph(path: Path, rows: Mapping[str, Sequence[float]]) -> None:
    """start_logits and end_logits [batch, sequence]: the two numbers that `rows` gives each word
    (others 0)."""
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["pairs"]),
        helper.make_node("Gather", ["pairs", "zero"], ["start_logits"], axis=2),
        helper.make_node("Gather", ["pairs", "one"], ["end_logits"], axis=2),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", "sequence"])
        for name in ("start_logits", "end_logits")
    ]
    constants = [
        numpy_helper.from_array(_table(rows, 2), "table"),
        numpy_helper.from_array(np.array(0), "zero"),
        numpy_helper.from_array(np.array(1), "one"),
    ]
    _save(path, helper.make_graph(nodes, "spans", [_ids("input_ids")], outputs, constants))


def pooled_graph(
    path: Path, rows: Mapping[str, Sequence[float]], width: int, pooled: bool = True
) -> None:
    """logits [batch, width]: the sum of the rows of all tokens that are not padding; or, not
    pooled, last_hidden_state [batch, sequence, width]: the row of each token."""
    nodes = [helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])]
    if not pooled:
        out = helper.make_tensor_value_info(
            "last_hidden_state", TensorProto.FLOAT, ["batch", "sequence", width]
        )
        inputs, constants = (
            [_ids("input_ids")],
            [numpy_helper.from_array(_table(rows, width), "table")],
        )
        return _save(path, helper.make_graph(nodes, "tokens", inputs, [out], constants))
    nodes += [
        helper.make_node("Cast", ["attention_mask"], ["mask"], to=TensorProto.FLOAT),
        helper.make_node("Unsqueeze", ["mask", "last"], ["column"]),
        helper.make_node("Mul", ["last_hidden_state", "column"], ["kept"]),
        helper.make_node("ReduceSum", ["kept", "second"], ["logits"], keepdims=0),
    ]
    constants = [
        numpy_helper.from_array(_table(rows, width), "table"),
        numpy_helper.from_array(np.array([2]), "last"),
        numpy_helper.from_array(np.array([1]), "second"),
    ]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", width])
    inputs = [_ids("input_ids"), _ids("attention_mask")]
    return _save(path, helper.make_graph(nodes, "pooled", inputs, [out], constants))


def colour_graph(path: Path, side: int) -> None:
    """logits [batch, 3] of pixel_values [batch, 3, side, side]: the mean of each channel."""
    nodes = [helper.make_node("ReduceMean", ["pixel_values"], ["logits"], axes=[2, 3], keepdims=0)]
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    _save(path, helper.make_graph(nodes, "colours", [_pixels(side)], [out]))


def halves_graph(path: Path, side: int) -> None:
    """Of pixel_values [batch, 3, side, side]: logits [batch, 2, 4], the mean of each channel in the
    left and in the right half, and 0 for no object; pred_boxes [batch, 2, 4], these halves."""
    nodes = [
        helper.make_node("Split", ["pixel_values"], ["left", "right"], axis=3),
        helper.make_node("ReduceMean", ["left"], ["l"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMean", ["right"], ["r"], axes=[2, 3], keepdims=0),
        helper.make_node("Unsqueeze", ["l", "one"], ["l1"]),
        helper.make_node("Unsqueeze", ["r", "one"], ["r1"]),
        helper.make_node("Concat", ["l1", "r1"], ["colours"], axis=1),
        helper.make_node("Pad", ["colours", "pads"], ["logits"]),
        helper.make_node("Shape", ["pixel_values"], ["batch"], start=0, end=1),
        helper.make_node("Concat", ["batch", "two_four"], ["shape"], axis=0),
        helper.make_node("Expand", ["boxes", "shape"], ["pred_boxes"]),
    ]
    boxes = np.array([[[0.25, 0.5, 0.5, 1.0], [0.75, 0.5, 0.5, 1.0]]], np.float32)
    constants = [
        numpy_helper.from_array(np.array([1]), "one"),
        numpy_helper.from_array(np.array([0, 0, 0, 0, 0, 1]), "pads"),
        numpy_helper.from_array(np.array([2, 4]), "two_four"),
        numpy_helper.from_array(boxes, "boxes"),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", 2, 4])
        for name in ("logits", "pred_boxes")
    ]
    _save(path, helper.make_graph(nodes, "halves", [_pixels(side)], outputs, constants))


def points_graph(path: Path, side: int) -> None:
    """Of pixel_values [batch, 3, side, side]: last_hidden_state [batch, side * side, 3], each
    point's channels, and pooler_output [batch, 3], their mean."""
    nodes = [
        helper.make_node("Reshape", ["pixel_values", "flat"], ["channels"]),
        helper.make_node("Transpose", ["channels"], ["last_hidden_state"], perm=[0, 2, 1]),
        helper.make_node("ReduceMean", ["channels"], ["pooler_output"], axes=[2], keepdims=0),
    ]
    outputs = [
        helper.make_tensor_value_info(
            "last_hidden_state", TensorProto.FLOAT, ["batch", side * side, 3]
        ),
        helper.make_tensor_value_info("pooler_output", TensorProto.FLOAT, ["batch", 3]),
    ]
    flat = numpy_helper.from_array(np.array([0, 3, -1]), "flat")
    _save(path, helper.make_graph(nodes, "points", [_pixels(side)], outputs, [flat]))


def _pixels(side: int) -> onnx.ValueInfoProto:
    shape = ["batch", 3, side, side]
    return helper.make_tensor_value_info("pixel_values", TensorProto.FLOAT, shape)


def product_graph(path: Path) -> Path:
    """y [batch, 5] = x [batch, 300] through weights of 8400 and 140 bytes; `unused` takes 8000."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["z"]),
        helper.make_node("MatMul", ["z", "v"], ["u"]),
    ]
    nodes += [helper.make_node("Add", ["u", "bias"], ["y"])]
    x, y = (
        helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", size])
        for n, size in (("x", 300), ("y", 5))
    )
    weights = np.random.default_rng(0).normal(size=(300, 7)).astype(np.float32)
    tensors = {"w": weights, "v": np.ones((7, 5), np.float32), "bias": np.full(5, 0.5, np.float32)}
    constants = [numpy_helper.from_array(array, name) for name, array in tensors.items()]
    constants.append(numpy_helper.from_array(np.arange(1000), "unused"))
    _save(path, helper.make_graph(nodes, "product", [x], [y], constants))
    return path


def write_spec(folder: Path, spec: ModelSpec) -> Path:
    (folder / "model_spec.json").write_text(spec.to_json(), encoding="utf-8")
    return folder


def golden(payload: Any, answer: Any) -> Golden:
    return Golden(Request(json.dumps(payload).encode()), answer)


QUESTION = {
    "question": "What is the middle name of Dolly",
    "context": "Dolly Rebecca Parton was born in 1946",
}


def question_answering(folder: Path, max_length: int = 32, limits: Limits | None = None) -> Path:
    """Points at 'rebecca' (start and end 4) in any context that has it, less surely at 1946 (2)."""
    folder.mkdir(parents=True, exist_ok=True)
    span_graph(folder / "model.onnx", {"rebecca": (4, 4), "1946": (2, 2), "parton": (0, 3)})
    tokenizer().save(str(folder / "tokenizer.json"))
    settings = {
        "max_length": max_length,
        "doc_stride": 4,
        "max_answer_length": 5,
        "max_question_length": 12,
    }
    spec = ModelSpec("tiny-qa", "question-answering", settings, limits=limits or Limits())
    return write_spec(folder, spec)


def text_classification(
    folder: Path, problem: str = "single_label_classification", **changes: Any
) -> Path:
    """Labels bad, good, long: words vote for good and bad, and every known word a little for
    long."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "good": (0, 2, 0.1),
        "great": (0, 3, 0.1),
        "bad": (2, 0, 0.1),
        "awful": (3, 0, 0.1),
        "very": (0, 0, 0.1),
    }
    pooled_graph(folder / "model.onnx", rows, 3)
    tokenizer().save(str(folder / "tokenizer.json"))
    settings = {"max_length": 16, "problem_type": problem}
    spec = ModelSpec(
        "tiny-text", "text-classification", settings, ("bad", "good", "long"), **changes
    )
    return write_spec(folder, spec)


def feature_extraction(folder: Path, **settings: Any) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    pooled_graph(
        folder / "model.onnx", {"good": (3, 0), "day": (0, 4), "[CLS]": (1, 1)}, 2, pooled=False
    )
    tokenizer().save(str(folder / "tokenizer.json"))
    return write_spec(
        folder, ModelSpec("tiny-embed", "feature-extraction", {"max_length": 16, **settings})
    )


def image_classification(folder: Path, side: int = 4, **changes: Any) -> Path:
    """The label of the picture's strongest colour: red, green or blue."""
    folder.mkdir(parents=True, exist_ok=True)
    colour_graph(folder / "model.onnx", side)
    settings = {
        "preprocess": [
            {"op": "center_crop_fraction", "fraction": 0.5},
            {"op": "resize", "size": [side, side], "resample": "bicubic"},
        ],
        "rescale_factor": 1,
        "image_mean": [127, 127, 127],
        "image_std": [128, 128, 128],
        "top_k": 2,
    }
    spec = ModelSpec(
        "tiny-image", "image-classification", settings, ("red", "green", "blue"), **changes
    )
    return write_spec(folder, spec)


PIXELS = {"rescale_factor": 1, "image_mean": [127, 127, 127], "image_std": [64, 64, 64]}


def object_detection(folder: Path, side: int = 4, **settings: Any) -> Path:
    """The colour of the left half, and that of the right half."""
    folder.mkdir(parents=True, exist_ok=True)
    halves_graph(folder / "model.onnx", side)
    steps = [{"op": "resize", "size": [side, side], "resample": "nearest"}]
    own = {"preprocess": steps, **PIXELS, **settings}
    last = ("none",) if own.get("function_to_apply") == "sigmoid" else ()
    labels = ("red", "green", "blue", *last)
    return write_spec(folder, ModelSpec("tiny-boxes", "object-detection", own, labels))


def image_feature_extraction(folder: Path, side: int = 4, **settings: Any) -> Path:
    """The channels of each point, or their mean."""
    folder.mkdir(parents=True, exist_ok=True)
    points_graph(folder / "model.onnx", side)
    own = {"preprocess": [{"op": "resize", "size": [side, side]}], **PIXELS, **settings}
    return write_spec(folder, ModelSpec("tiny-points", "image-feature-extraction", own))


def text_ranking(folder: Path, **settings: Any) -> Path:
    """Words of a pair, query or document, that count for or against it."""
    folder.mkdir(parents=True, exist_ok=True)
    words = {"good": 2, "great": 3, "bad": -2, "awful": -3, "day": 0.25}
    pooled_graph(folder / "model.onnx", {word: [score] for word, score in words.items()}, 1)
    tokenizer().save(str(folder / "tokenizer.json"))
    return write_spec(
        folder, ModelSpec("tiny-ranker", "text-ranking", {"max_length": 16, **settings})
    )


def sentence_similarity(folder: Path, **settings: Any) -> Path:
    """The direction of a text's mean: good one way, day another, and all a little of both."""
    own = {"pooling": "mean", **settings}
    spec = ModelSpec.read(feature_extraction(folder))
    return write_spec(
        folder, replace(spec, task="sentence-similarity", settings={**spec.settings, **own})
    )


def token_classification(folder: Path, **settings: Any) -> Path:
    """dolly, rebecca and parton are a person's name, 1946 is a date; parton is unsure."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {
        "dolly": (0, 4, 0, 0),
        "rebecca": (0, 0, 4, 0),
        "parton": (0, 0, 1, 0),
        "1946": (0, 0, 0, 4),
    }
    others = {word: (3, 0, 0, 0) for word in VOCABULARY if word not in rows}
    pooled_graph(folder / "model.onnx", {**others, **rows}, 4, pooled=False)
    tokenizer().save(str(folder / "tokenizer.json"))
    labels = ("O", "B-PER", "I-PER", "DATE")
    return write_spec(
        folder,
        ModelSpec("tiny-entities", "token-classification", {"max_length": 12, **settings}, labels),
    )


def zero_shot_classification(folder: Path, **settings: Any) -> Path:
    """What is said of anything good is entailed, what is said of anything bad contradicted."""
    folder.mkdir(parents=True, exist_ok=True)
    pooled_graph(
        folder / "model.onnx",
        {"good": (0, 0, 2), "great": (0, 0, 4), "bad": (2, 0, 0), "day": (0, 1, 0)},
        3,
    )
    tokenizer().save(str(folder / "tokenizer.json"))
    labels = ("contradiction", "neutral", "entailment")
    return write_spec(
        folder,
        ModelSpec("tiny-nli", "zero-shot-classification", {"max_length": 24, **settings}, labels),
    )


MASK = "[MASK]"


def masked_tokenizer() -> Tokenizer:
    """`tokenizer` with a mask token in the place of the vocabulary's last word, the comma."""
    data = json.loads(tokenizer().to_str())
    last = len(VOCABULARY) - 1
    data["model"]["vocab"] = {word: i for word, i in VOCABULARY.items() if i != last} | {MASK: last}
    made = Tokenizer.from_str(json.dumps(data))
    made.add_special_tokens([*SPECIALS, MASK])
    return made


def fill_mask(folder: Path, **settings: Any) -> Path:
    """logits [batch, sequence, vocabulary]: in the place of a mask day is likely, good less so,
    very the least."""
    folder.mkdir(parents=True, exist_ok=True)
    scores = [0.0] * len(VOCABULARY)
    for word, score in (("day", 5.0), ("good", 4.0), ("very", 3.0)):
        scores[VOCABULARY[word]] = score
    pooled_graph(folder / "model.onnx", {",": scores}, len(VOCABULARY), pooled=False)
    masked_tokenizer().save(str(folder / "tokenizer.json"))
    return write_spec(
        folder,
        ModelSpec("tiny-mask", "fill-mask", {"max_length": 12, "mask_token": MASK, **settings}),
    )


def tensors(folder: Path) -> Path:
    """square [n, m] = (x + k)^2 of floats x [n, m] and integers k [n, 1]; positive [n, m]: where x
    > 0."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = [
        helper.make_node("Cast", ["k"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "number"], ["sum"]),
        helper.make_node("Mul", ["sum", "sum"], ["square"]),
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
    ]
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"]),
        helper.make_tensor_value_info("k", TensorProto.INT64, ["n", 1]),
    ]
    outputs = [
        helper.make_tensor_value_info("square", TensorProto.FLOAT, ["n", "m"]),
        helper.make_tensor_value_info("positive", TensorProto.BOOL, ["n", "m"]),
    ]
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    _save(folder / "model.onnx", helper.make_graph(nodes, "arithmetic", inputs, outputs, [zero]))
    return write_spec(folder, ModelSpec("tiny-tensors", "tensors"))


def typed(folder: Path, kind: int, shape: Sequence[int | str], name: str = "x") -> Path:
    """A graph with one input, which is its output too, of an ONNX type and a shape."""
    folder.mkdir(parents=True, exist_ok=True)
    value = [helper.make_tensor_value_info(name, kind, shape) for name in (name, "same")]
    _save(
        folder / "model.onnx",
        helper.make_graph(
            [helper.make_node("Identity", [name], ["same"])], "g", *[[v] for v in value]
        ),
    )
    return write_spec(folder, ModelSpec("tiny-typed", "tensors"))

"""The model that is fuzzed for each task: tests/tiny.py's where it has one of that name, else one of these."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from scoring.contract import ModelSpec
from tests import tiny

MASK = "[MASK]"


def _text(folder: Path, spec: ModelSpec, width: int, pooled: bool = False) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = {word: np.random.default_rng(i).normal(size=width) for i, word in enumerate(tiny.VOCABULARY)}
    tiny.pooled_graph(folder / "model.onnx", {word: list(row) for word, row in rows.items()}, width, pooled)
    tiny.tokenizer().save(str(folder / "tokenizer.json"))
    return tiny.write_spec(folder, spec)


def token_classification(folder: Path) -> Path:
    labels = ("O", "B-PER", "I-PER", "B-LOC", "I-LOC")
    return _text(folder, ModelSpec("tiny-tokens", "token-classification", {"max_length": 16}, labels), len(labels))


def zero_shot_classification(folder: Path) -> Path:
    labels = ("contradiction", "neutral", "entailment")
    return _text(folder, ModelSpec("tiny-nli", "zero-shot-classification", {"max_length": 32}, labels), 3, pooled=True)


def fill_mask(folder: Path) -> Path:
    """The last word of the vocabulary becomes the mask token."""
    settings = {"max_length": 16, "mask_token": MASK}
    _text(folder, ModelSpec("tiny-mask", "fill-mask", settings), len(tiny.VOCABULARY))
    path = folder / "tokenizer.json"
    data = json.loads(path.read_text(encoding="utf-8"))
    last = len(tiny.VOCABULARY) - 1
    data["model"]["vocab"] = {w: i for w, i in data["model"]["vocab"].items() if i != last} | {MASK: last}
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    data["added_tokens"] = [{"id": last, "content": MASK, **flags}]
    path.write_text(json.dumps(data), encoding="utf-8")
    return folder


def tensors(folder: Path) -> Path:
    """square [n, m] = (x + k)^2 of floats x [n, m] and integers k [n, 1]; positive [n, m]: where x > 0."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = [
        helper.make_node("Cast", ["k"], ["number"], to=TensorProto.FLOAT),
        helper.make_node("Add", ["x", "number"], ["sum"]),
        helper.make_node("Mul", ["sum", "sum"], ["square"]),
        helper.make_node("Greater", ["x", "zero"], ["positive"]),
    ]
    x = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", "m"])
    k = helper.make_tensor_value_info("k", TensorProto.INT64, ["n", 1])
    square = helper.make_tensor_value_info("square", TensorProto.FLOAT, ["n", "m"])
    positive = helper.make_tensor_value_info("positive", TensorProto.BOOL, ["n", "m"])
    zero = numpy_helper.from_array(np.array(0, np.float32), "zero")
    graph = helper.make_graph(nodes, "arithmetic", [x, k], [square, positive], [zero])
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), folder / "model.onnx"
    )
    return tiny.write_spec(folder, ModelSpec("tiny-tensors", "tensors"))


OWN: dict[str, Callable[[Path], Path]] = {
    "token_classification": token_classification, "zero_shot_classification": zero_shot_classification,
    "fill_mask": fill_mask, "tensors": tensors,
}  # fmt: skip


def builder(task: str) -> Callable[[Path], Path]:
    """What makes the model of `task`. Raises LookupError that says what is missing."""
    name = task.replace("-", "_")
    made: Callable[[Path], Path] | None = getattr(tiny, name, None) or OWN.get(name)
    if made is None:
        raise LookupError(f"tests/tiny.py has no {name}(folder), the tiny model of task '{task}'")
    return made

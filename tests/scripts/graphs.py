"""Tiny graphs for the variants: exported models, attentions and convolutions made by hand, and
inputs for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper

from onnxferry.scoring.engine import Array, Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.prepare.sources.huggingface.torch_export import GraphRequest, export
from onnxferry.scripts.prepare.sources.inspection.task_inference import HEADS
from onnxferry.system.library_output import silence_libraries
from tests import tiny
from tests.scripts import checkpoints

FAMILIES = ("bert", "distilbert", "roberta", "vit")


def exported(folder: Path, family: str, attention: str = "eager") -> Path:
    """The graph of a tiny checkpoint, in `folder`."""
    task = "image-classification" if family == "vit" else "text-classification"
    makers: Mapping[str, Any] = {
        "bert": lambda at: checkpoints.bert(at, task),
        "roberta": lambda at: checkpoints.roberta(at, task),
        "distilbert": checkpoints.distilbert,
        "mpnet": checkpoints.mpnet,
        "vit": checkpoints.vit,
    }
    source, path = makers[family](folder / "checkpoint"), folder / "exported.onnx"
    with silence_libraries():
        kind = getattr(transformers, HEADS[task])
        model = kind.from_pretrained(source, attn_implementation=attention).float().eval()
        names = ["input_ids", "attention_mask", "token_type_ids"]
        inputs = names if family == "bert" else names[:2]
        export(model, path, GraphRequest(task, inputs))
    return path


def feeds(graph: Path, rows: int = 4, tokens: int = 9, seed: int = 0) -> dict[str, Array]:
    """Random inputs: pictures of 32 x 32, or token ids with padding behind all rows but the
    first."""
    draw = np.random.default_rng(seed)
    found: dict[str, Array] = {}
    for value in Session(graph, EngineOptions(threads=1)).inputs:
        if value.dtype == "float32":
            found[value.name] = draw.standard_normal((rows, 3, 32, 32)).astype(np.float32)
        else:
            found[value.name] = draw.integers(4, len(tiny.VOCABULARY), (rows, tokens))
    if "attention_mask" in found:
        lengths = [tokens, *draw.integers(1, tokens, rows - 1)] if rows > 1 else [tokens]
        found["attention_mask"] = np.array(
            [[i < n for i in range(tokens)] for n in lengths], np.int64
        )
    if "token_type_ids" in found:
        found["token_type_ids"] = np.zeros((rows, tokens), np.int64)
    return found


def attention(path: Path, form: str, heads: int = 2, size: int = 4) -> Path:
    """One attention over x [batch, tokens, heads * size] and attention_mask [batch, tokens],
    written as exporters do. `form`: plain (no mask), padding, where (padding by choice), causal,
    window, relative, unscaled."""
    width, draw = heads * size, np.random.default_rng(0)
    weights = {name: draw.standard_normal((width, width)).astype(np.float32) for name in "qkv"}
    biases = {f"{name}_bias": draw.standard_normal(width).astype(np.float32) for name in "qkv"}
    far = np.abs(np.subtract.outer(np.arange(200), np.arange(200)))
    constants = {
        **weights,
        **biases,
        "split": np.array([0, 0, heads, size]),
        "join": np.array([0, 0, width]),
        "scale": np.float32(np.sqrt(size)),
        "axes": np.array([1, 2]),
        "one": np.float32(1),
        "low": np.float32(-1e9),
        "start": np.array([0, 0]),
        "spatial": np.array([0, 1]),
        "zero": np.array([0]),
        "second": np.array([1]),
        "causal": np.where(np.tri(200) > 0, 0, -1e9).astype(np.float32),
        "window": np.where(far < 40, 0, -1e9).astype(np.float32),
        "relative": (0.05 * far).astype(np.float32),
    }
    nodes = []
    for name in "qkv":
        nodes += [
            helper.make_node("MatMul", ["x", name], [f"{name}1"], f"/layer.0/{name}/MatMul"),
            helper.make_node("Add", [f"{name}1", f"{name}_bias"], [f"{name}2"]),
            helper.make_node("Reshape", [f"{name}2", "split"], [f"{name}3"]),
            helper.make_node(
                "Transpose",
                [f"{name}3"],
                [f"{name}4"],
                perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3],
            ),
        ]
    nodes += [helper.make_node("MatMul", ["q4", "k4"], ["scores"])]
    nodes += (
        [helper.make_node("Div", ["scores", "scale"], ["scaled"])] if form != "unscaled" else []
    )
    nodes += [*_masked(form, "scores" if form == "unscaled" else "scaled")]
    nodes += [
        helper.make_node("Softmax", ["masked"], ["shares"], "/layer.0/Softmax", axis=-1),
        helper.make_node("MatMul", ["shares", "v4"], ["mixed"]),
        helper.make_node("Transpose", ["mixed"], ["rows"], perm=[0, 2, 1, 3]),
        helper.make_node("Reshape", ["rows", "join"], ["y"]),
    ]
    mask = value("attention_mask", "batch", "tokens", kind=TensorProto.INT64)
    shape = ("batch", "tokens", width)
    return save(path, nodes, [value("x", *shape), mask], [value("y", *shape)], constants)


def value(name: str, *shape: int | str, kind: int = TensorProto.FLOAT) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: Sequence[Any],
    outputs: Sequence[Any],
    weights: Mapping[str, Any],
) -> Path:
    stored = [numpy_helper.from_array(np.asarray(array), name) for name, array in weights.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, stored)
    domains = sorted({node.domain for node in nodes} | {""})
    versions = [helper.make_opsetid(domain, 1 if domain else 17) for domain in domains]
    onnx.save(helper.make_model(graph, opset_imports=versions, ir_version=8), path)
    return path


def _masked(form: str, scores: str) -> list[Any]:
    """The nodes from the scores to what Softmax takes."""
    if form in ("plain", "unscaled"):
        return [helper.make_node("Identity", [scores], ["masked"])]
    if form in ("padding", "where"):
        cast = TensorProto.FLOAT if form == "padding" else TensorProto.BOOL
        unsqueezed = [
            helper.make_node("Unsqueeze", ["attention_mask", "axes"], ["mask4"]),
            helper.make_node("Cast", ["mask4"], ["mask"], to=cast),
        ]
        if form == "where":
            return [*unsqueezed, helper.make_node("Where", ["mask", scores, "low"], ["masked"])]
        return [
            *unsqueezed,
            helper.make_node("Sub", ["one", "mask"], ["off"]),
            helper.make_node("Mul", ["off", "low"], ["added"]),
            helper.make_node("Add", [scores, "added"], ["masked"]),
        ]
    return [
        helper.make_node("Shape", ["x"], ["shape"]),
        helper.make_node("Gather", ["shape", "second"], ["tokens"]),
        helper.make_node("Concat", ["tokens", "tokens"], ["end"], axis=0),
        helper.make_node("Slice", [form, "start", "end", "spatial"], ["added"]),
        helper.make_node("Add", [scores, "added"], ["masked"]),
    ]


def convolutional(path: Path, opset: int = 17) -> Path:
    """A picture classifier of 32 x 32: padding, convolutions with normalisation, Relu and Relu6, a
    depthwise one, a residual sum, pooling and a linear layer."""
    torch.manual_seed(0)
    net = _Net().eval()
    with torch.no_grad(), silence_libraries():
        for _ in range(5):
            net.train()(torch.randn(8, 3, 32, 32))  # the normalisations' means
        net.eval()
        torch.onnx.export(
            net,
            (torch.randn(2, 3, 32, 32),),
            str(path),
            input_names=["pixel_values"],
            output_names=["logits"],
            dynamic_axes={"pixel_values": {0: "batch"}, "logits": {0: "batch"}},
            opset_version=opset,
            dynamo=False,
            do_constant_folding=False,
            training=torch.onnx.TrainingMode.PRESERVE,
        )
    return path


class _Net(torch.nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        nn = torch.nn
        self.stem = nn.Sequential(
            nn.ZeroPad2d(1), nn.Conv2d(3, 8, 3, 2, bias=False), nn.BatchNorm2d(8), nn.ReLU6()
        )
        self.block = nn.Sequential(
            nn.Conv2d(8, 16, 1),
            nn.BatchNorm2d(16),
            nn.ReLU(),
            nn.Conv2d(16, 16, 3, 1, 1, groups=16),
            nn.BatchNorm2d(16),
            nn.ReLU6(),
            nn.Conv2d(16, 8, 1),
            nn.BatchNorm2d(8),
        )
        self.pool = nn.MaxPool2d(2)
        self.head = nn.Linear(8, 3)

    def forward(self, pixel_values: Any) -> Any:
        x = self.stem(pixel_values)
        x = self.pool(x + self.block(x))
        return self.head(torch.nn.functional.adaptive_avg_pool2d(x, 1).flatten(1))

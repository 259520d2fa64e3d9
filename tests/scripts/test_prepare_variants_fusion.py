"""Fused operators: found in what exporters write, proved by their numbers, and the same answers as
before."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import transformers
from onnx import helper, numpy_helper
from packaging import version

from onnxferry.scoring.engine import Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.prepare import onnx_file_io
from onnxferry.scripts.prepare.variants import fusion, onnx_graph
from onnxferry.scripts.prepare.variants.encoder_architecture import Architecture
from onnxferry.scripts.prepare.variants.fusion import fuse
from onnxferry.scripts.prepare.variants.unfused_attention import UNKNOWN
from tests.scripts.graphs import FAMILIES, attention, convolutional, exported, feeds, save, value

pytestmark = pytest.mark.toolchain
TWO = Architecture(2)


def largest_difference(a: Path, b: Path) -> float:
    """Of the outputs for a padded batch; the positions of padding are left out."""
    given = feeds(a)
    return max(
        float(np.abs(x - y).max())
        for x, y in zip(
            Session(a, EngineOptions(threads=1)).run(given),
            Session(b, EngineOptions(threads=1)).run(given),
            strict=True,
        )
    )


OTHER = pytest.mark.skipif(
    version.parse(transformers.__version__).major > 4,
    reason="what transformers 5 makes of sdpa is not fused; prepare loads with eager attention",
)


@pytest.fixture(
    scope="module",
    params=[
        *((family, "eager") for family in FAMILIES),
        *(pytest.param((family, "sdpa"), marks=OTHER) for family in ("bert", "vit")),
    ],
)
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    family, form = request.param
    return exported(tmp_path_factory.mktemp(family), family, form)


def test_a_transformer_is_fused_and_answers_the_same(source: Path, tmp_path: Path) -> None:
    made = fuse(source, tmp_path / "fused.onnx", TWO)
    assert made.graph == tmp_path / "fused.onnx"
    assert made.found["Attention"] == made.expected["Attention"] == 2
    assert made.found["Gelu"] == made.expected["Gelu"] == 2
    assert made.found["linear layers for the first token alone"] == 3
    assert made.found["LayerNormalization"] >= made.expected["LayerNormalization"] == 4
    assert made.missing == ()
    before, after = (
        Session(source, EngineOptions(threads=1)),
        Session(made.graph, EngineOptions(threads=1)),
    )
    assert (before.inputs, before.outputs) == (after.inputs, after.outputs)
    assert largest_difference(source, made.graph) < 1e-4
    assert onnx_file_io.versions(made.graph) == onnx_file_io.versions(source)
    assert [p.name for p in tmp_path.iterdir()] == ["fused.onnx"]


def test_a_fused_row_is_the_same_bytes_in_any_company(source: Path, tmp_path: Path) -> None:
    fused = Session(fuse(source, tmp_path / "fused.onnx", TWO).graph or source)
    given = feeds(source, rows=12)
    whole = fused.run(given)[0]
    for rows in ([3], [5, 3], [0, 3, 7, 8, 9, 10, 11]):
        part = fused.run({name: array[rows] for name, array in given.items()})[0]
        assert part[rows.index(3)].tobytes() == whole[3].tobytes()


def test_what_the_architecture_should_have_is_missed(tmp_path: Path) -> None:
    source = exported(tmp_path, "bert")
    made = fuse(source, tmp_path / "fused.onnx", Architecture(3))
    assert [sentence.partition(":")[0] for sentence in made.missing] == [
        "1 of 3 attentions are not fused",
        "1 of 3 Gelu operators are not fused",
        "1 of 6 LayerNormalization operators are not fused",
    ]
    assert "Gelu" not in fuse(source, tmp_path / "fused.onnx", Architecture(2, "relu")).expected


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (transformers.BertConfig(num_hidden_layers=2), Architecture(2, "gelu")),
        (transformers.DistilBertConfig(n_layers=3, activation="relu"), Architecture(3, "relu")),
        (transformers.ViTConfig(num_hidden_layers=4), Architecture(4, "gelu")),
        (transformers.ResNetConfig(), None),
        (transformers.ModernBertConfig(num_hidden_layers=5), Architecture(5, "gelu", "rotary", 11)),
        (transformers.Qwen3Config(num_hidden_layers=3), Architecture(3, "silu", "rotary", 13)),
        (transformers.MPNetConfig(num_hidden_layers=3), Architecture(3, "gelu", "relative")),
        (
            transformers.DebertaV2Config(num_hidden_layers=3, relative_attention=True),
            Architecture(3, "gelu", "relative"),
        ),
        (transformers.XLMRobertaConfig(num_hidden_layers=3), Architecture(3)),
    ],
)
def test_an_encoder_is_told_by_its_configuration(
    config: Any, expected: Architecture | None
) -> None:
    assert Architecture.of(config.to_dict()) == expected


@pytest.mark.parametrize("form", ["plain", "padding", "where", "unscaled"])
def test_plain_attention_is_proved(form: str, tmp_path: Path) -> None:
    source = attention(tmp_path / "exported.onnx", form)
    made = fuse(source, tmp_path / "fused.onnx")
    assert made.graph and made.found["Attention"] == 1
    (node,) = (n for n in onnx_graph.read(made.graph).graph if n.op_type == "Attention")
    assert node.name == "/layer.0/Attention" and len(node.inputs) == (
        4 if form in ("padding", "where") else 3
    )
    draw = np.random.default_rng(1)
    given = {
        "x": draw.standard_normal((3, 6, 8)),
        "attention_mask": np.array([[1] * 6, [1] * 4 + [0] * 2, [0, 1] * 3]),
    }
    before, after = (
        Session(path, EngineOptions(threads=1)).run(given)[0] for path in (source, made.graph)
    )
    np.testing.assert_allclose(after, before, atol=1e-5)


@pytest.mark.parametrize(
    ("form", "cause"), [("causal", "a causal mask"), ("window", "a window"), ("relative", UNKNOWN)]
)
def test_other_attention_is_not_and_the_cause_is_told(
    form: str, cause: str, tmp_path: Path
) -> None:
    """`relative` adds a constant to each distance, which no run tells from a mask of padding."""
    made = fuse(
        attention(tmp_path / "exported.onnx", form), tmp_path / "fused.onnx", Architecture(1)
    )
    assert made.graph is None and made.found["Attention"] == 0
    said = (f"1 of 1 attentions stay single operators: {cause}",)
    unknown = "1 of 1 attentions are not fused: an unknown form"
    assert made.single == (() if cause == UNKNOWN else said)
    assert (made.missing[0] == unknown) == (cause == UNKNOWN)
    assert not (tmp_path / "fused.onnx").exists()


def test_attention_over_a_fixed_number_of_tokens_is_proved_at_that_number(tmp_path: Path) -> None:
    source = attention(tmp_path / "exported.onnx", "padding")
    model = onnx.load(source)
    for tensor in model.graph.initializer:
        if tensor.name in ("split", "join"):
            shape = numpy_helper.to_array(tensor).copy()
            shape[:2] = (-1, 17)
            tensor.CopyFrom(numpy_helper.from_array(shape, tensor.name))
    onnx.save(model, source)
    made = fuse(source, tmp_path / "fused.onnx")
    assert made.graph and made.found["Attention"] == 1
    draw = np.random.default_rng(1)
    mask = (draw.random((3, 17)) < 0.6).astype(np.int64)
    mask[:, 0] = 1
    x = draw.standard_normal((3, 17, 8)).astype(np.float32)
    given: dict[str, Any] = {"x": x, "attention_mask": mask}
    before, after = (Session(path).run(given)[0] for path in (source, made.graph))
    np.testing.assert_allclose(after, before, atol=1e-5)


def test_operators_that_folding_adds_are_not_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it does to a vision transformer of torch's newer exporter."""
    source = convolutional(tmp_path / "exported.onnx")

    def grown(path: Path, folder: Path) -> Any:
        model = onnx_graph.read(path)
        for i in range(3):
            more = onnx_graph.new_node("Identity", [model.graph.inputs[0]], f"more{i}")
            model.graph.insert_before(model.graph[0], more)
        return model

    monkeypatch.setattr(fusion, "fold", grown)
    assert "folded into others" not in fuse(source, tmp_path / "fused.onnx").found


@pytest.mark.parametrize("opset", [11, 17])
def test_normalisation_and_padding_are_folded_into_convolutions(opset: int, tmp_path: Path) -> None:
    source = convolutional(tmp_path / "exported.onnx", opset)
    made = fuse(source, tmp_path / "fused.onnx")
    assert made.graph and made.found["folded into others"] > 0 and made.missing == ()
    kinds = {node.op_type for node in onnx_graph.read(made.graph).graph}
    assert not kinds & {"Pad", "BatchNormalization"}
    assert onnx_graph.opset(onnx_graph.read(made.graph)) == max(opset, 13)
    assert largest_difference(source, made.graph) < 1e-4
    assert sorted(p.name for p in tmp_path.iterdir()) == ["exported.onnx", "fused.onnx"]


def test_what_is_quantised_or_no_network_is_left_alone(tmp_path: Path) -> None:
    for op, domain in (("DynamicQuantizeLinear", ""), ("Normalizer", "ai.onnx.ml"), ("Abs", "")):
        nodes = [helper.make_node(op, ["x"], ["y"], domain=domain)]
        save(tmp_path / "exported.onnx", nodes, [value("x", "n", "m")], [value("y", "n", "m")], {})
        made = fuse(tmp_path / "exported.onnx", tmp_path / "fused.onnx")
        assert made.graph is None and made.missing == ()


def test_layers_that_share_weights_share_the_merged_ones(tmp_path: Path) -> None:
    source = attention(tmp_path / "exported.onnx", "plain")
    model = onnx.load(source)
    again = [onnx.NodeProto.FromString(node.SerializeToString()) for node in model.graph.node]
    for node in again:
        node.name = node.name.replace("layer.0", "layer.1")
        node.input[:] = [
            {"x": "y"}.get(i, i if i in _weights(model) else f"{i}_2") for i in node.input
        ]
        node.output[:] = [f"{o}_2" for o in node.output]
    model.graph.node.extend(again)
    model.graph.output[0].name = "y_2"
    onnx.save(model, source)
    made = onnx_graph.read(fuse(source, tmp_path / "fused.onnx").graph or source)
    first, second = (node for node in made.graph if node.op_type == "Attention")
    assert first.inputs[1:3] == second.inputs[1:3]
    assert first.inputs[0] != second.inputs[0]


def _weights(model: onnx.ModelProto) -> set[str]:
    return {tensor.name for tensor in model.graph.initializer}

"""The first token taken early: only where nothing else is read, and the same answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from onnxferry.scoring.engine import Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.prepare.variants import first_token, onnx_graph
from onnxferry.scripts.prepare.variants.fusion import fuse
from onnxferry.scripts.prepare.variants.int8_linear import int8_linear
from onnxferry.scripts.prepare.variants.variant import REDUCED_RANGE, VariantInputs
from tests.scripts.graphs import exported, feeds

pytestmark = pytest.mark.toolchain
EARLY = "linear layers for the first token alone"
LAYERS = 3  # after an attention: its own, and two of the feed-forward part
ONE = EngineOptions(threads=1)


@pytest.fixture(scope="module")
def distilbert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return exported(tmp_path_factory.mktemp("distilbert"), "distilbert")


def last_hidden(model: onnx.ModelProto) -> str:
    """The name of what the head takes the first token of."""
    takes = [n for n in model.graph.node if n.op_type == "Gather"]
    return str(next(n.input[0] for n in reversed(takes) if n.attribute and n.attribute[0].i == 1))


def same_answers(a: Path, b: Path) -> bool:
    before, after = (Session(path, ONE).run(feeds(a)) for path in (a, b))
    return all(np.allclose(x, y, atol=1e-5) for x, y in zip(before, after, strict=True))


def test_a_head_of_the_first_token_costs_one_token(distilbert: Path, tmp_path: Path) -> None:
    """The other families' count is in test_prepare_variants_fusion.py."""
    made = fuse(distilbert, tmp_path / "fused.onnx")
    assert made.graph and made.found[EARLY] == LAYERS
    assert same_answers(distilbert, made.graph)
    types = [node.op_type for node in onnx_graph.read(made.graph).graph]
    assert (types.count("Attention"), types.count("MultiHeadAttention")) == (1, 1)


def test_an_attention_of_single_operators_stays(tmp_path: Path) -> None:
    source = exported(tmp_path, "mpnet")  # relative positions
    made = fuse(source, tmp_path / "fused.onnx")
    assert made.graph and made.found[EARLY] == LAYERS and made.found["Attention"] == 0
    assert same_answers(source, made.graph)


def test_the_last_layer_is_int8_too(distilbert: Path, tmp_path: Path) -> None:
    fused, target = fuse(distilbert, tmp_path / "fused.onnx").graph, tmp_path / "int8.onnx"
    inputs = VariantInputs(distilbert, fused, [feeds(distilbert, seed=i) for i in range(4)])
    int8_linear(True, REDUCED_RANGE, inputs, target, frozenset())
    types = [node.op_type for node in onnx_graph.read(target).graph]
    assert "MatMul" not in types and types.count("QAttention") == 1
    # queries, keys and values beside the layers after attention
    assert types.count("MatMulIntegerToFloat") == 2 * LAYERS + 3 + 2
    given = feeds(distilbert)
    want, got = (Session(path, ONE).run(given)[0] for path in (distilbert, target))
    assert np.abs(want - got).max() < 0.1 * np.abs(want).max()


def test_tokens_that_are_an_answer_are_all_computed(distilbert: Path, tmp_path: Path) -> None:
    model = onnx.load(distilbert)
    hidden = helper.make_tensor_value_info(last_hidden(model), TensorProto.FLOAT, None)
    model.graph.output.append(hidden)
    source = tmp_path / "two_outputs.onnx"
    onnx.save(model, source)
    made = fuse(source, tmp_path / "fused.onnx")
    assert made.graph and EARLY not in made.found
    assert same_answers(source, made.graph)


def test_what_has_no_tokens_for_sure_is_not_taken_from(distilbert: Path, tmp_path: Path) -> None:
    """A mean over the texts of a run has the tokens as its first axis."""
    model, source = onnx.load(distilbert), tmp_path / "mixed.onnx"
    last = next(n for n in model.graph.node if last_hidden(model) in n.output)
    residual = next(n for n in model.graph.node if n.name.endswith("layer.1/Add_1"))
    own = residual.input[1]
    mean = helper.make_node("ReduceMean", [own], ["mean"], axes=[0], keepdims=0)
    residual.input[1] = "mean"
    model.graph.node.insert(list(model.graph.node).index(residual), mean)
    assert last.input
    onnx.save(model, source)
    made = fuse(source, tmp_path / "fused.onnx")
    assert made.graph and EARLY not in made.found
    assert same_answers(source, made.graph)


def test_what_is_not_proved_stays(
    distilbert: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(first_token, "TOLERANCE", -1)
    made = fuse(distilbert, tmp_path / "fused.onnx")
    assert made.graph and EARLY not in made.found and made.found["Attention"] == 2
    assert not any("first" in str(n.name) for n in onnx_graph.read(made.graph).graph)
    assert same_answers(distilbert, made.graph)

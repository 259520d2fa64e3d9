"""Rotary and relative positions, and what weights alone make: what is proved is replaced, what only
looks like it is not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper

from onnxferry.scoring.engine import Array, Session
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.constant_folding import fold_constants
from onnxferry.scripts.prepare.variants.relative_positions import cut_positions
from onnxferry.scripts.prepare.variants.rotary_fusion import fuse_rotary
from tests.scripts.graphs import save, value

SIZE, HEADS, KNOWN = 8, 2, 256  # of a head; heads; relative positions that the table has
LONGEST = 500
node = helper.make_node


def angles(form: str) -> Array:
    """[1, 1, LONGEST, SIZE]: each angle twice, in the order of the halves or in pairs."""
    turns = np.arange(LONGEST)[:, None] / 10 ** np.arange(SIZE // 2)
    twice = np.repeat(turns, 2, 1) if form == "pairs" else np.concatenate([turns, turns], 1)
    return twice[None, None].astype(np.float32)


def rotary(path: Path, form: str) -> Path:
    """y = x [batch, heads, tokens, SIZE] turned. `form`: halves, factors (the same in another
    order), casts, pairs (angles of another order), mirrored (the other half is negative), texts
    (each text has its own positions)."""
    half, order = SIZE // 2, ["first", "negative"] if form == "mirrored" else ["negative", "second"]
    at = "second" if form == "mirrored" else "first"
    constants = {
        "cos_table": np.cos(angles(form)),
        "sin_table": np.sin(angles(form)),
        **{"zero": np.array([0]), "half": np.array([half]), "size": np.array([SIZE])},
        **{"last": np.array([-1]), "two": np.array([2]), "one": np.array([1])},
    }
    nodes = [
        node("Shape", ["ids"], ["shape"]),
        node("Gather", ["shape", "one"], ["tokens"]),
        node("Slice", ["cos_table", "zero", "tokens", "two"], ["cos1"]),
        node("Slice", ["sin_table", "zero", "tokens", "two"], ["sin1"]),
        *_by_text(form),
        *([node("Cast", ["x"], ["given"], to=TensorProto.FLOAT)] if form == "casts" else []),
    ]
    x = "given" if form == "casts" else "x"
    nodes += [
        node("Slice", [x, "zero", "half", "last"], ["x_first"]),
        node("Slice", [x, "half", "size", "last"], ["x_second"]),
        node("Neg", ["x_second" if at == "first" else "x_first"], ["negative"]),
        node("Identity", ["x_first"], ["second"]),
        node("Identity", ["x_second"], ["first"]),
        node("Concat", order, ["turned"], axis=-1),
        node("Mul", ["cos", x] if form == "factors" else [x, "cos"], ["straight"]),
        node("Mul", ["sin", "turned"] if form == "factors" else ["turned", "sin"], ["across"]),
        node("Add", ["across", "straight"] if form == "factors" else ["straight", "across"], ["y"]),
    ]
    ids = value("ids", "batch", "tokens", kind=TensorProto.INT64)
    shape = ("batch", "heads", "tokens", SIZE)
    return save(path, nodes, [ids, value("x", *shape)], [value("y", *shape)], constants)


def _by_text(form: str) -> list[Any]:
    """cos and sin; those of `texts` depend on the ids of each."""
    if form != "texts":
        return [node("Identity", [f"{name}1"], [name]) for name in ("cos", "sin")]
    to = [
        node("Cast", ["ids"], ["number"], to=TensorProto.FLOAT),
        node("Unsqueeze", ["number", "one"], ["number3"]),
        node("Unsqueeze", ["number3", "last"], ["number4"]),
    ]
    return to + [node("Mul", [f"{name}1", "number4"], [name]) for name in ("cos", "sin")]


def given(tokens: int = 11) -> dict[str, Any]:
    draw = np.random.default_rng(1)
    x = draw.standard_normal((3, HEADS, tokens, SIZE)).astype(np.float32)
    return {"ids": draw.integers(0, 5, (3, tokens)), "x": x}


@pytest.mark.parametrize("form", ["halves", "factors", "casts", "pairs", "mirrored", "texts"])
def test_rotary_positions_become_one_operator_where_that_is_the_same(
    form: str, tmp_path: Path
) -> None:
    source, target = rotary(tmp_path / "source.onnx", form), tmp_path / "fused.onnx"
    model = onnx_graph.read(source)
    fuse_rotary(model.graph)
    onnx_graph.save(model, target)
    kinds = [n.op_type for n in onnx_graph.read(target).graph]
    same = form in ("halves", "factors", "casts")
    assert ("RotaryEmbedding" in kinds, "Concat" in kinds) == (same, not same)
    for tokens in (1, 11, LONGEST):
        before, after = (Session(path).run(given(tokens))[0] for path in (source, target))
        np.testing.assert_allclose(after, before, atol=1e-5)


def relative(path: Path, form: str, positions: int = KNOWN) -> Path:
    """y [heads * batch, tokens, tokens]: of a's products with a table of positions, those of each
    pair of tokens. `form`: plain, spread (the pairs are repeated for each row), weighted (each
    position has its factor: such a table cannot be cut alone)."""
    table = np.random.default_rng(0).standard_normal((HEADS, positions, SIZE)).astype(np.float32)
    constants = {
        "table": table,
        **{"one": np.array(1), "zero": np.array(0), "step": np.array(1), "axis": np.array([0])},
        **{"middle": np.array(positions // 2), "low": np.array(0), "high": np.array(positions - 1)},
        **{
            "rows": np.array([1]),
            "factors": np.arange(1, positions + 1, dtype=np.float32)[None, None],
        },
    }
    nodes = [
        node("Shape", ["ids"], ["shape"]),
        node("Gather", ["shape", "one"], ["tokens"]),
        node("Gather", ["shape", "axis"], ["batch"]),
        node("Range", ["zero", "tokens", "step"], ["place"]),
        node("Unsqueeze", ["place", "rows"], ["from"]),
        node("Unsqueeze", ["place", "axis"], ["to"]),
        node("Sub", ["from", "to"], ["apart"]),
        node("Add", ["apart", "middle"], ["shifted"]),
        node("Clip", ["shifted", "low", "high"], ["positions"]),
        node("Concat", ["batch", "rows", "rows"], ["times"], axis=0),
        node("Tile", ["table", "times"], ["tiled"]),
        node("Transpose", ["tiled"], ["turned"], perm=[0, 2, 1]),
        node("Mul", ["turned", "factors"], ["weighted"]),
        node("MatMul", ["a", "weighted" if form == "weighted" else "turned"], ["all"], "product"),
        node("Shape", ["a"], ["a_shape"]),
        node("Gather", ["a_shape", "axis"], ["count"]),
        node("Unsqueeze", ["tokens", "axis"], ["side"]),
        node("Concat", ["count", "side", "side"], ["pairs"], axis=0),
        node("Expand", ["positions", "pairs"], ["spread"]),
        node("GatherElements", ["all", "spread"], ["y"], "taken", axis=-1),
    ]
    ids, a = (
        value("ids", "batch", "tokens", kind=TensorProto.INT64),
        value("a", "n", "tokens", SIZE),
    )
    return save(path, nodes, [ids, a], [value("y", "n", "tokens", "tokens")], constants)


@pytest.mark.parametrize("form", ["spread", "weighted"])
def test_relative_positions_are_cut_where_that_is_the_same(form: str, tmp_path: Path) -> None:
    source, target = relative(tmp_path / "source.onnx", form), tmp_path / "cut.onnx"
    model = onnx_graph.read(source)
    assert cut_positions(model.graph) == (1 if form == "spread" else 0)
    onnx_graph.save(model, target)
    assert ("ReduceMin" in [n.op_type for n in onnx_graph.read(target).graph]) == (form == "spread")
    for tokens in (1, 5, 300):  # also more than the table has
        a = np.random.default_rng(tokens).standard_normal((3 * HEADS, tokens, SIZE))
        feeds: dict[str, Any] = {"ids": np.ones((3, tokens), np.int64), "a": a.astype(np.float32)}
        before, after = (Session(path).run(feeds)[0] for path in (source, target))
        np.testing.assert_allclose(after, before, atol=1e-5)


def test_a_small_table_of_positions_is_not_worth_cutting(tmp_path: Path) -> None:
    source = relative(tmp_path / "source.onnx", "spread", 64)
    assert cut_positions(onnx_graph.read(source).graph) == 0


def test_what_linear_layers_make_of_weights_alone_is_computed(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    table, weights = (draw.standard_normal((6, 6)).astype(np.float32) for _ in range(2))
    noise = {"shape": np.array([6, 6])}
    nodes = [
        node("MatMul", ["table", "w"], ["projected"], "positions"),
        node("Transpose", ["projected"], ["turned"], perm=[1, 0]),
        node("MatMul", ["x", "turned"], ["scores"], "scores"),
        node("MatMul", ["x", "w"], ["own"], "own"),
        node("RandomNormal", [], ["noise"], shape=[6, 6]),
        node("MatMul", ["noise", "w"], ["drawn"], "drawn"),
        node("Abs", ["table"], ["sizes"]),  # no linear layer
        node("Add", ["scores", "own"], ["sum"]),
        node("Sub", ["drawn", "drawn"], ["nothing"]),
        node("Add", ["sum", "nothing"], ["more"]),
        node("Add", ["more", "sizes"], ["y"]),
    ]
    x, y = value("x", 6, 6), value("y", 6, 6)
    source = save(tmp_path / "s.onnx", nodes, [x], [y], {"table": table, "w": weights, **noise})
    model = onnx_graph.read(source)
    assert fold_constants(model.graph, 17) == 1
    onnx_graph.save(model, tmp_path / "folded.onnx")
    names = {n.name for n in onnx_graph.read(tmp_path / "folded.onnx").graph}
    assert {"scores", "own", "drawn"} <= names and "positions" not in names
    (folded,) = (v for n, v in model.graph.initializers.items() if n.endswith("_folded"))
    exact = (table.astype(np.float64) @ weights.astype(np.float64)).T.astype(np.float32)
    assert folded.const_value is not None
    np.testing.assert_array_equal(folded.const_value.numpy(), exact)
    feeds = {"x": draw.standard_normal((6, 6)).astype(np.float32)}
    before, after = (Session(p).run(feeds)[0] for p in (source, tmp_path / "folded.onnx"))
    np.testing.assert_allclose(after, before, atol=1e-5)

"""Encoders of the kinds that people run: what is fused in each, why the rest is not, the same
answers, in any company, and in int8."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from onnxferry.scoring.engine import Array, Session
from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scripts.prepare.variants import onnx_graph
from onnxferry.scripts.prepare.variants.encoder_architecture import Architecture
from onnxferry.scripts.prepare.variants.fusion import Fusion, fuse
from onnxferry.scripts.prepare.variants.linear_layers import linear_layers
from onnxferry.scripts.prepare.variants.table import VARIANTS
from onnxferry.scripts.prepare.variants.variant import VariantInputs
from tests.scripts.encoders import ENCODERS, config, exported
from tests.scripts.graphs import feeds

pytestmark = pytest.mark.toolchain

ONE = EngineOptions(threads=1)
ROTARY, RELATIVE = "rotary positions", "relative positions"
TURNED = {"RotaryEmbedding": 4, "Attention": 0}
GELU, NORMS = {"Gelu": 2}, {"LayerNormalization": 5}
FOUND: Mapping[str, Mapping[str, int]] = {
    "XLMRoberta": {"Attention": 2, **GELU, **NORMS},
    "MPNet": {"Attention": 0, **GELU, **NORMS},
    "ModernBert": {**TURNED, **GELU, **NORMS},
    "DebertaV2": {
        **{"relative positions cut": 4, "computed from weights alone": 4},
        **{"Attention": 0, "Gelu": 2, "LayerNormalization": 5},
    },
    "Qwen3": {**TURNED, "LayerNormalization": 9},
    "NomicBert": {**TURNED, **NORMS},
    "Gte": {**TURNED, **GELU, **NORMS},
}
# linear layers of two layers, where they are not queries, keys, values, output and three more
LAYERS = {"XLMRoberta": 8, "MPNet": 12, "ModernBert": 8, "DebertaV2": 12}
# how many attentions stay single operators, by what keeps them
SINGLE: Mapping[str, Mapping[str, int]] = {
    "XLMRoberta": {},
    "MPNet": {RELATIVE: 2},
    "ModernBert": {ROTARY: 1, f"{ROTARY} and a window": 1},
    "DebertaV2": {RELATIVE: 2},
    "Qwen3": {f"{ROTARY} and a causal mask": 2},
}


class Made:
    """An encoder's graph as `source`, and what fuse() made of it."""

    def __init__(self, folder: Path, name: str) -> None:
        self.name, self.source = name, exported(folder, name)
        architecture = Architecture.of(config(name).to_dict())
        self.fusion: Fusion = fuse(self.source, folder / "fused.onnx", architecture)
        self.best = self.fusion.graph or self.source
        self.int8 = folder / "int8.onnx"
        (variant,) = (v for v in VARIANTS if v.name == "int8-static-reduced")
        calibration = [feeds(self.source, rows=3, tokens=24, seed=seed) for seed in range(12)]
        inputs = VariantInputs(self.source, self.fusion.graph, calibration)
        variant.make(inputs, self.int8, frozenset())

    def answer(self, path: Path, given: Mapping[str, Array]) -> Array:
        """last_hidden_state, zero for padding."""
        hidden: Array = Session(path, ONE).run(given)[0]
        return hidden * given["attention_mask"][..., None]


@pytest.fixture(scope="module", params=ENCODERS)
def made(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Made:
    return Made(tmp_path_factory.mktemp("encoder"), request.param)


def test_what_can_be_is_fused_and_the_rest_is_named(made: Made) -> None:
    found, expected = made.fusion.found, made.fusion.expected
    assert found == FOUND[made.name] and made.fusion.graph is not None
    assert all(found[kind] >= least for kind, least in expected.items())
    assert expected.get("RotaryEmbedding", 0) == found.get("RotaryEmbedding", 0)
    assert expected.get("Attention", 0) == found["Attention"]
    single = SINGLE.get(made.name, {ROTARY: 2})
    words = [f"{n} of 2 attentions stay single operators: {cause}" for cause, n in single.items()]
    assert (sorted(made.fusion.single), made.fusion.missing) == (sorted(words), ())


@pytest.mark.parametrize("tokens", [1, 2, 9, 40, 150])
def test_the_fused_graph_answers_the_same(made: Made, tokens: int) -> None:
    given = feeds(made.source, rows=3, tokens=tokens) if tokens > 1 else _one(made.source)
    want, got = (made.answer(path, given) for path in (made.source, made.best))
    assert np.abs(want - got).max() <= 2e-5 * np.abs(want).max()


def _one(source: Path) -> dict[str, Array]:
    return {name: array[:, :1] for name, array in feeds(source, rows=1, tokens=2).items()}


def test_a_row_is_the_same_bytes_in_any_company(made: Made) -> None:
    given = feeds(made.source, rows=9, tokens=24)
    for path in (made.best, made.int8):
        session = Session(path, ONE)
        whole = session.run(given)[0]
        for rows in ([4], [8, 4], [0, 1, 4, 6, 7, 8]):
            part = session.run({name: array[rows] for name, array in given.items()})[0]
            assert part[rows.index(4)].tobytes() == whole[4].tobytes()


def test_all_linear_layers_become_int8_and_answer_much_as_before(made: Made) -> None:
    before, after = (onnx_graph.read(path).graph for path in (made.best, made.int8))
    kinds = [node.op_type for node in after]
    made_int8 = kinds.count("MatMulIntegerToFloat") + kinds.count("QAttention")
    assert made_int8 == len(linear_layers(before)) == LAYERS.get(made.name, 14) and not (
        linear_layers(after)
    )
    assert "BiasGelu" not in kinds
    given = feeds(made.source, tokens=24, seed=99)
    want, got = made.answer(made.source, given), made.answer(made.int8, given)
    assert np.abs(want - got).mean() < 0.3 * np.abs(want).mean()


def test_a_model_with_one_type_of_token_is_exported(tmp_path: Path) -> None:
    """As the multilingual ones have, whose tokenizer may give types all the same."""
    source = exported(tmp_path, "XLMRoberta", "token_type_ids", type_vocab_size=1)
    given = feeds(source)
    assert Session(source, ONE).run(given)[0].shape == (*given["input_ids"].shape, 48)

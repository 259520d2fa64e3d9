"""A text's answer is the same bytes alone and in any company, on a real transformer with random
weights.

ONNX Runtime does not promise it: this holds it to what batching.py relies on, on the machine that
runs the test.
"""

from __future__ import annotations

import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from onnxferry import scoring
from onnxferry.scoring.batching import Padding, TokenBatcher
from onnxferry.scoring.engine import Session
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.prepare.variants.fusion import fuse
from onnxferry.scripts.prepare.variants.table import VARIANTS
from onnxferry.scripts.prepare.variants.variant import VariantInputs
from tests import graph_shapes, tiny
from tests.cpu_kinds import EXACT, needs_cpu

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

LABELS = ("a", "b", "c")
FIRST, EACH = {0: "batch"}, {0: "batch", 1: "sequence"}  # axes: a text's, and a token's


def small(**more: Any) -> Any:
    """The configuration of a BERT of two layers, whose weights are large enough to differ."""
    return transformers.BertConfig(
        vocab_size=len(tiny.VOCABULARY),
        hidden_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=256,
        max_position_embeddings=100,
        attn_implementation="eager",
        initializer_range=0.3,
        **more,
    )


def exported(model: Any, folder: Path, outputs: dict[str, Any]) -> Path:
    """`model` as model.onnx in a new folder; `outputs`: each one's axes of open size."""
    names = ["input_ids", "attention_mask", "token_type_ids"]
    folder.mkdir()
    torch.onnx.export(
        model.eval(),
        tuple(torch.ones(2, 9, dtype=torch.int64) for _ in names),
        str(folder / "model.onnx"),
        input_names=names,
        output_names=[*outputs],
        dynamic_axes=dict.fromkeys(names, EACH) | outputs,
        opset_version=17,
        dynamo=False,
    )
    return folder


def bert(folder: Path) -> Path:
    """A small BERT that classifies; in a model directory."""
    torch.manual_seed(0)
    model = transformers.BertForSequenceClassification(small(num_labels=3))
    exported(model, folder, {"logits": FIRST})
    tiny.tokenizer().save(str(folder / "tokenizer.json"))
    return tiny.write_spec(
        folder, ModelSpec("bert", "text-classification", {"max_length": 100}, LABELS)
    )


def quantised(folder: Path, source: Path) -> Path:
    """The same in int8 of reduced range, its activations quantised as it runs."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    folder.mkdir()
    quantize_dynamic(
        source / "model.onnx",
        folder / "model.onnx",
        weight_type=QuantType.QInt8,
        per_channel=True,
        reduce_range=True,
    )
    for name in ("tokenizer.json", "model_spec.json"):
        (folder / name).write_bytes((source / name).read_bytes())
    return folder


def prepared(folder: Path, source: Path, variant: str) -> Path:
    """The same as `scripts.prepare` makes it: operators fused, and the scales of the static one
    measured beforehand."""
    shutil.copytree(source, folder)
    fused = fuse(source / "model.onnx", folder / "fused.onnx").graph
    draw = np.random.default_rng(0)
    ids = [draw.integers(4, len(tiny.VOCABULARY), (1, 30)) for _ in range(10)]
    feeds = [
        {"input_ids": i, "attention_mask": np.ones_like(i), "token_type_ids": np.zeros_like(i)}
        for i in ids
    ]
    (made,) = (v for v in VARIANTS if v.name == variant)
    made.make(
        VariantInputs(source / "model.onnx", fused, feeds), folder / "model.onnx", frozenset()
    )
    return folder


@pytest.fixture(
    scope="module",
    params=[
        "fp32",
        "fixed",
        "int8",
        "fp32-optimised",
        pytest.param("int8-static", marks=needs_cpu(*EXACT)),
        "int8-static-reduced",
    ],
)
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("bert")
    source = bert(root / "fp32")
    if request.param == "fp32":
        return source
    if request.param == "fixed":  # 4 rows of 100 tokens a run
        return graph_shapes.fix(shutil.copytree(source, root / "fixed"), batch=4, sequence=100)
    if request.param == "int8":
        return quantised(root / "int8", source)
    return prepared(root / request.param, source, request.param)


def ask(scorer: scoring.Scorer, inputs: Any) -> list[bytes]:
    """The answer of each text, as bytes."""
    response = scorer.handle(
        scoring.Request(json.dumps({"inputs": inputs, "parameters": {"top_k": 3}}).encode())
    )
    assert response.status == 200, response.body
    answers = json.loads(response.body)
    return [
        json.dumps(answer).encode()
        for answer in (answers if isinstance(inputs, list) else [answers])
    ]


def texts(count: int, seed: int) -> list[str]:
    draw = random.Random(seed)  # noqa: S311
    return [
        " ".join(draw.choices(tiny.WORDS, k=draw.choice([1, 2, 5, 6, 7, 8, 20, 60, 97, 120])))
        for _ in range(count)
    ]


def test_an_answer_does_not_depend_on_what_else_is_asked(model: Path) -> None:
    scorer = scoring.load(model)
    asked = texts(40, seed=1)
    alone = {text: ask(scorer, text)[0] for text in asked}
    assert len(set(alone.values())) == len(set(asked))
    for seed in range(4):
        mixed = asked + texts(60, seed=2 + seed)
        random.Random(seed).shuffle(mixed)  # noqa: S311
        for text, answer in zip(mixed, ask(scorer, mixed), strict=True):
            assert answer == alone.get(text, answer)


def test_a_graph_of_fixed_shape_answers_as_one_of_any(model: Path, tmp_path: Path) -> None:
    """But for rounding: padding is masked, which adds up zeros."""
    if Session(model / "model.onnx").batch_dependent:
        pytest.skip("it takes its scale from the padding too")
    fixed = graph_shapes.fix(shutil.copytree(model, tmp_path / "fixed"), batch=1, sequence=100)
    asked, close = texts(20, seed=5), {"fp32": 1e-5, "fixed": 1e-5, "fp32-optimised": 1e-5}
    for a, b in zip(ask(scoring.load(model), asked), ask(scoring.load(fixed), asked), strict=True):
        scores = [{e["label"]: e["score"] for e in json.loads(answer)} for answer in (a, b)]
        assert scores[0] == pytest.approx(scores[1], abs=close.get(model.name, 0.05))


def test_runs_in_flight_answer_as_one_at_a_time(model: Path) -> None:
    asked = texts(50, seed=3)
    many, one = (scoring.load(model, {"ONNXFERRY_ENGINE_RUNS": runs}) for runs in ("4", "1"))
    assert ask(many, asked) == ask(one, asked)


def test_a_graph_that_takes_its_scale_from_the_batch_is_known(model: Path) -> None:
    assert Session(model / "model.onnx").batch_dependent == (model.name == "int8")


def test_no_sequence_is_padded_beyond_what_the_model_can_hold(model: Path) -> None:
    """100 positions are no multiple of the step."""
    assert len(ask(scoring.load(model), ["day " * 200, "day " * 97])) == 2


def test_an_error_in_a_run_reaches_the_caller(model: Path) -> None:
    from onnxferry.scoring.tokenization import Tokens

    beyond = [
        Tokens(np.full(n, len(tiny.VOCABULARY) + 5), np.zeros(n, np.int64)) for n in (3, 20, 40, 60)
    ]
    known = len(tiny.VOCABULARY)
    expected = f"the token with id {known + 5}, and the model has embeddings for {known} tokens"
    with pytest.raises(scoring.ScoringError, match=expected):
        batcher = TokenBatcher(Session(model / "model.onnx"), Padding(0), 100)
        batcher.run(beyond, lambda row, _: row)

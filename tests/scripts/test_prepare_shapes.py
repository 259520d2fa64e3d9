"""Graphs of fixed shapes, old and new formats, short models, and tokenizers that are larger than
their model: prepared and served, or refused with what does not fit."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import transformers
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from onnxferry import scoring
from onnxferry.scripts.engines import ENGINES
from onnxferry.scripts.prepare import Options, prepare
from onnxferry.system.errors import PrepareError, UsageError
from tests import graph_shapes, tiny
from tests.scoring.test_image_classification import picture
from tests.scripts import checkpoints
from tests.scripts.checkpoints import as_exported

PIXELS = {
    "preprocess": [{"op": "resize", "size": [4, 4]}],
    "rescale_factor": 1,
    "image_mean": [0, 0, 0],
    "image_std": [255, 255, 255],
}


def text_options(tmp_path: Path, folder: Path, task: str, labels: tuple[str, ...] = ()) -> Options:
    """The graph and the tokenizer of a model directory, as a user has them."""
    (tmp_path / "tokenizer").mkdir()
    (folder / "tokenizer.json").rename(tmp_path / "tokenizer" / "tokenizer.json")
    options = as_exported(
        str(folder / "model.onnx"), tmp_path / "out", task, tokenizer=tmp_path / "tokenizer"
    )
    if not labels:
        return options
    (tmp_path / "labels.json").write_text(json.dumps(labels))
    return replace(options, labels=tmp_path / "labels.json")


def picture_options(tmp_path: Path, folder: Path, **settings: Any) -> Options:
    (tmp_path / "settings.json").write_text(json.dumps({**PIXELS, **settings}))
    (tmp_path / "labels.json").write_text('["red", "green", "blue"]')
    return as_exported(
        str(folder / "model.onnx"),
        tmp_path / "out",
        "image-classification",
        settings=tmp_path / "settings.json",
        labels=tmp_path / "labels.json",
    )


def ask(out: Path, inputs: Any) -> Any:
    response = scoring.load(out).handle(scoring.Request(json.dumps({"inputs": inputs}).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


LABELS = ("bad", "good", "long")
SHAPES: tuple[Mapping[str, int], ...] = (
    {"batch": 1},
    {"batch": 1, "sequence": 384},
    {"batch": 3, "sequence": 64},
)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_text_graph_of_fixed_shape_is_prepared_and_answers_lists(
    tmp_path: Path, shape: Mapping[str, int]
) -> None:
    folder = graph_shapes.fix(tiny.text_classification(tmp_path / "graph"), **shape)
    spec = prepare(text_options(tmp_path, folder, "text-classification", LABELS))
    assert spec.settings["max_length"] == shape.get("sequence", 512)
    found = ask(tmp_path / "out", ["very good", "bad day", "a great day , not bad at all", "good"])
    assert [answer["label"] for answer in found] == ["good", "bad", "good", "good"]


@pytest.mark.parametrize("shape", SHAPES[1:], ids=str)
def test_question_answering_of_fixed_shape_is_prepared(
    tmp_path: Path, shape: Mapping[str, int]
) -> None:
    folder = graph_shapes.fix(tiny.question_answering(tmp_path / "graph"), **shape)
    prepare(text_options(tmp_path, folder, "question-answering"))
    long = {"question": "who sings ?", "context": f"{'a good day ' * 200} Rebecca sings ."}
    found = ask(tmp_path / "out", [tiny.QUESTION, long])
    assert [answer["answer"] for answer in found] == ["Rebecca", "Rebecca"]


@pytest.mark.parametrize("change", [
    lambda folder: graph_shapes.fix(folder, batch=1),
    lambda folder: graph_shapes.fix(folder, batch=5),
    graph_shapes.channels_last,
], ids=["1", "5", "channels last"])  # fmt: skip
def test_a_picture_graph_of_fixed_shape_is_prepared(
    tmp_path: Path, change: Callable[[Path], Path]
) -> None:
    folder = change(tiny.image_classification(tmp_path / "graph"))
    prepare(picture_options(tmp_path, folder))
    sent = [picture(c) for c in ((250, 1, 1), (1, 250, 1), (1, 1, 250))]
    found = ask(tmp_path / "out", [base64.b64encode(data).decode() for data in sent])
    assert [answer[0]["label"] for answer in found] == ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("side", "settings", "message"),
    [
        (8, {}, r"pixel_values \[batch, 3, 8, 8\], and the preprocessing .* makes \[3, 4, 4\]"),
        (
            4,
            {"image_mean": [0], "image_std": [1]},
            r"\[batch, 3, 4, 4\], and the preprocessing .* makes \[1, 4, 4\]",
        ),
        (
            4,
            {"preprocess": [{"op": "resize_shortest", "size": 4}]},
            r"the picture becomes \[3, \d, \d\], and the model takes \[3, 4, 4\]",
        ),
    ],
)
def test_pictures_that_do_not_fit_the_graph_are_refused_with_both_shapes(
    tmp_path: Path, side: int, settings: Mapping[str, Any], message: str
) -> None:
    folder = tiny.image_classification(tmp_path / "graph", side)
    with pytest.raises(PrepareError, match=message) as refused:
        prepare(picture_options(tmp_path, folder, **settings))
    assert "--golden" not in str(refused.value)


def one_row_inside(folder: Path) -> Path:
    """A graph that says it takes any batch, and reshapes its logits to one row: as exports do whose
    example was traced with its own sizes."""
    tiny.text_classification(folder)
    model = onnx.load(folder / "model.onnx")
    for node in model.graph.node:
        node.output[:] = ["summed" if name == "logits" else name for name in node.output]
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 3]), "one_row"))
    model.graph.node.append(helper.make_node("Reshape", ["summed", "one_row"], ["logits"]))
    onnx.save(model, folder / "model.onnx")
    return folder


def test_a_graph_that_runs_one_row_only_is_refused_with_the_cause(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = one_row_inside(tmp_path / "graph")
    options = text_options(tmp_path, folder, "text-classification", LABELS)
    with pytest.raises(PrepareError) as refused:
        prepare(options)
    for part in ("items in one request got status 500", "Reshape", "input_ids [batch, sequence]"):
        assert part in str(refused.value)
    assert "with a batch of 1 in these shapes" in str(refused.value)
    assert "unexpected failure" not in caplog.text


def test_and_is_prepared_once_its_shapes_say_so(tmp_path: Path) -> None:
    folder = graph_shapes.fix(one_row_inside(tmp_path / "graph"), batch=1)
    prepare(text_options(tmp_path, folder, "text-classification", LABELS))
    found = ask(tmp_path / "out", ["very good", "bad day"])
    assert [answer["label"] for answer in found] == ["good", "bad"]


def mixing(folder: Path) -> Path:
    """A graph whose rows get the mean of all rows added."""
    tiny.text_classification(folder)
    model = onnx.load(any_opset(folder / "model.onnx", 17))
    for node in model.graph.node:
        node.output[:] = ["summed" if name == "logits" else name for name in node.output]
    mean = helper.make_node("ReduceMean", ["summed"], ["of_rows"], axes=[0], keepdims=1)
    model.graph.node.extend([mean, helper.make_node("Add", ["summed", "of_rows"], ["logits"])])
    onnx.save(model, folder / "model.onnx")
    return folder


def test_a_graph_that_mixes_the_rows_of_a_batch_is_refused(tmp_path: Path) -> None:
    folder = mixing(tmp_path / "graph")
    options = text_options(tmp_path, folder, "text-classification", LABELS)
    with pytest.raises(PrepareError, match="an item's answer depends on the others"):
        prepare(options)
    graph_shapes.fix(folder, batch=1)
    prepare(options)


def test_a_given_max_length_above_the_graph_s_is_refused(tmp_path: Path) -> None:
    folder = graph_shapes.fix(tiny.text_classification(tmp_path / "graph"), sequence=24)
    options = text_options(tmp_path, folder, "text-classification", LABELS)
    (tmp_path / "settings.json").write_text('{"max_length": 64}')
    expected = r"max_length is 64, but the graph, which takes input_ids \[batch, 24\], .* most 24"
    with pytest.raises(UsageError, match=expected):
        prepare(replace(options, settings=tmp_path / "settings.json"))


def positioned(folder: Path, positions: int) -> Path:
    """Votes of words and of their places, for which the graph has a table of `positions`."""
    tiny.text_classification(folder)
    model = onnx.load(folder / "model.onnx")
    table = np.zeros((positions, 3), np.float32)
    model.graph.initializer.append(numpy_helper.from_array(table, "positions"))
    model.graph.initializer.append(numpy_helper.from_array(np.array(1), "one_scalar"))
    for name, value in (("start", 0), ("step", 1)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value), name))
    for node in model.graph.node:
        node.output[:] = ["words" if name == "last_hidden_state" else name for name in node.output]
    added = [
        helper.make_node("Shape", ["input_ids"], ["shape"]),
        helper.make_node("Gather", ["shape", "one_scalar"], ["length"]),
        helper.make_node("Range", ["start", "length", "step"], ["places"]),
        helper.make_node("Gather", ["positions", "places"], ["placed"]),
        helper.make_node("Add", ["words", "placed"], ["last_hidden_state"]),
    ]
    nodes = [model.graph.node[0], *added, *model.graph.node[1:]]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.save(model, folder / "model.onnx")
    return folder


@pytest.mark.parametrize("positions", [8, 33])
def test_a_table_of_positions_bounds_the_length(tmp_path: Path, positions: int) -> None:
    """No configuration says it; 512 would be the default, and long texts would get 500."""
    folder = positioned(tmp_path / "graph", positions)
    spec = prepare(text_options(tmp_path, folder, "text-classification", LABELS))
    assert spec.settings["max_length"] == positions
    assert ask(tmp_path / "out", ["bad " * 100])[0]["label"] == "bad"


FORMATS = sorted({11, 14, *(opset for _, opset in ENGINES.values())})


def any_opset(path: Path, opset: int) -> Path:
    """logits [batch, 3] of token ids, of operators that are the same in all opsets from 11 on."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("Transpose", ["vectors"], ["turned"], perm=[0, 2, 1]),
        helper.make_node("GlobalAveragePool", ["turned"], ["mean"]),
        helper.make_node("Flatten", ["mean"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["logits"]),
    ]
    shapes = {"table": (len(tiny.VOCABULARY), 8), "weights": (8, 3)}
    constants = [
        numpy_helper.from_array(random.normal(size=s).astype(np.float32), n)
        for n, s in shapes.items()
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "votes", [ids], [out], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    onnx.save(model, str(path))
    return path


def opset_options(tmp_path: Path, opset: int) -> Options:
    folder = tiny.text_classification(tmp_path / "graph")
    any_opset(folder / "model.onnx", opset)
    return text_options(tmp_path, folder, "text-classification", LABELS)


@pytest.mark.parametrize("opset", FORMATS)
def test_every_opset_that_a_host_loads_is_prepared(
    tmp_path: Path, opset: int, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = prepare(opset_options(tmp_path, opset))
    assert spec.opset == opset
    assert len(ask(tmp_path / "out", ["good", "bad day", "very"])) == 3
    oldest = min(ENGINES, key=lambda version: ENGINES[version])
    told = " ".join(capsys.readouterr().err.split())
    assert (f"hosts with onnxruntime {oldest} do not load it" in told) == (
        opset > ENGINES[oldest][1]
    )


def test_a_newer_opset_is_refused_with_what_the_hosts_load(tmp_path: Path) -> None:
    newest = max(opset for _, opset in ENGINES.values())
    with pytest.raises(PrepareError, match=rf"opset {newest + 1}.*load up to opset {newest}"):
        prepare(opset_options(tmp_path, newest + 1))


def test_a_token_beyond_the_graph_s_embeddings_is_refused(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path / "graph")
    enlarged = tiny.tokenizer()
    enlarged.add_tokens(["<new>"])
    enlarged.save(str(folder / "tokenizer.json"))
    size = len(tiny.VOCABULARY)
    expected = f"tokenizer has {size + 1} tokens, the last of which is '<new>' with id {size}.*"
    with pytest.raises(PrepareError, match=f"{expected} embeddings for {size} tokens"):
        prepare(text_options(tmp_path, folder, "text-classification", LABELS))


@pytest.mark.toolchain
def test_a_token_beyond_the_model_s_vocabulary_is_refused_before_the_export(tmp_path: Path) -> None:
    folder = checkpoints.bert(tmp_path / "bert", "feature-extraction")
    loaded = transformers.PreTrainedTokenizerFast.from_pretrained(folder)
    loaded.add_tokens(["<user>", "<bot>"])
    loaded.save_pretrained(folder)
    size = len(tiny.VOCABULARY)
    expected = f"'<bot>' with id {size + 1}: the model has embeddings for {size} tokens"
    with pytest.raises(PrepareError, match=expected):
        prepare(as_exported(str(folder), tmp_path / "out", "feature-extraction"))


@pytest.mark.toolchain
@pytest.mark.parametrize("task", sorted(checkpoints.HEADS))
def test_the_built_in_requests_fit_a_short_model(tmp_path: Path, task: str) -> None:
    positions = 8
    special = checkpoints.MASK if task == "fill-mask" else {}
    config = transformers.BertConfig(
        vocab_size=len(tiny.VOCABULARY) + len(special),
        max_position_embeddings=positions,
        initializer_range=0.3,
        **checkpoints.SIZES,
        **checkpoints.named(*checkpoints.NAMES.get(task, ())),
    )
    getattr(transformers, checkpoints.HEADS[task])(config).save_pretrained(tmp_path / "bert")
    folder = checkpoints.tokenizer(tmp_path / "bert", **special)
    spec = prepare(as_exported(str(folder), tmp_path / "out", task))
    assert spec.settings["max_length"] == positions
    assert spec.golden
    response = scoring.load(tmp_path / "out").handle(spec.golden.request)
    assert json.loads(response.body) == spec.golden.answer


@pytest.mark.toolchain
@pytest.mark.parametrize("mean", [[0.5], [0.5, 0.5, 0.5]], ids=str)
def test_a_model_of_one_channel_reads_pictures_in_grey(tmp_path: Path, mean: Any) -> None:
    """As MNIST's: what the model itself says of the grey picture, preprocessed by its processor."""
    folder = checkpoints.vit(tmp_path / "vit", num_channels=1)
    described = json.loads((folder / "preprocessor_config.json").read_text())
    described |= {"image_mean": mean, "image_std": mean}
    (folder / "preprocessor_config.json").write_text(json.dumps(described))

    prepare(as_exported(str(folder), tmp_path / "out", "image-classification"))

    model = transformers.ViTForImageClassification.from_pretrained(folder).eval()
    noise = np.random.default_rng(0).integers(0, 256, (40, 30, 3), np.uint8)
    for image in (Image.fromarray(noise), Image.fromarray(noise[..., 0])):
        out = io.BytesIO()
        image.save(out, "PNG")
        grey = np.asarray(image.convert("L").resize((32, 32), Image.Resampling.BILINEAR))
        pixels = torch.from_numpy((grey / 255 - 0.5) / 0.5).float()[None, None]
        with torch.no_grad():
            expected = model(pixels).logits.softmax(-1)[0].tolist()
        found = {
            a["label"]: a["score"]
            for a in ask(tmp_path / "out", base64.b64encode(out.getvalue()).decode())
        }
        assert [found[label] for label in checkpoints.LABELS] == pytest.approx(expected, abs=1e-5)


@pytest.mark.toolchain
def test_a_processor_whose_channels_do_not_fit_its_model_is_refused(tmp_path: Path) -> None:
    folder = checkpoints.vit(tmp_path / "vit", num_channels=1)
    described = json.loads((folder / "preprocessor_config.json").read_text())
    (folder / "preprocessor_config.json").write_text(
        json.dumps({**described, "image_mean": [0.4, 0.5, 0.6]})
    )
    with pytest.raises(UsageError, match=r"image_mean is \[0.4, 0.5, 0.6\], and the model takes 1"):
        prepare(as_exported(str(folder), tmp_path / "out", "image-classification"))

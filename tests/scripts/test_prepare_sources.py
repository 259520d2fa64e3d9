"""The other sources: a PyTorch module given as module:factory, and an existing .onnx file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxferry import scoring
from onnxferry.scripts.prepare import Options, prepare
from onnxferry.system.errors import PrepareError, UsageError
from tests import tiny
from tests.scripts import checkpoints
from tests.scripts.checkpoints import CPU, INT8, as_exported, working_directory

pytestmark = pytest.mark.toolchain

MODULES = '''
import torch

class Colours(torch.nn.Module):
    """Logits [batch, 3]: the mean of each channel."""
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 3, 1, bias=False)
        self.conv.weight.data = torch.eye(3)[:, :, None, None]
    def forward(self, x):
        print("chatter")
        return self.conv(x).mean((2, 3))

class Votes(torch.nn.Module):
    """Logits [batch, 2] of token ids."""
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table = torch.nn.Embedding(64, 2)
    def forward(self, input_ids, attention_mask):
        return (self.table(input_ids) * attention_mask[:, :, None]).sum(1)

class Moody(Votes):
    """Answers otherwise when traced than when run."""
    def forward(self, input_ids, attention_mask):
        logits = super().forward(input_ids, attention_mask)
        return logits + 1 if torch.jit.is_tracing() else logits

def text(): return Votes()
def moody(): return Moody()
def nothing(): return None
def broken(): raise RuntimeError("no weights here")
'''
PICTURE = {
    "preprocess": [{"op": "resize", "size": [8, 8]}],
    "rescale_factor": 1,
    "image_mean": [127, 127, 127],
    "image_std": [128, 128, 128],
}


@pytest.fixture
def options(tmp_path: Path) -> Iterator[Options]:
    """A colour classifier as module:factory, with its labels and settings, in the working
    directory."""
    with working_directory(tmp_path, "tiny_modules"):
        Path("tiny_modules.py").write_text(MODULES)
        Path("unsound_module.py").write_text("1 / 0")
        Path("labels.txt").write_text("red\ngreen\nblue\n")
        Path("settings.json").write_text(json.dumps(PICTURE))
        yield as_exported(
            "tiny_modules:Colours",
            Path("out"),
            "image-classification",
            labels=Path("labels.txt"),
            settings=Path("settings.json"),
        )


def two_labels(options: Options, factory: str) -> Options:
    Path("labels.txt").write_text("no\nyes\n")
    folder = checkpoints.tokenizer(Path("tokenizer"))
    return replace(
        options,
        source=f"tiny_modules:{factory}",
        task="text-classification",
        tokenizer=folder,
        settings=None,
    )


def test_a_module_becomes_a_model_directory(
    options: Options, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = prepare(options)

    assert [(t.name, t.shape) for t in spec.inputs] == [("pixel_values", ("batch_size", 3, 8, 8))]
    assert spec.provenance["source"]["name"] == "tiny_modules:Colours"
    assert spec.provenance["source"]["architecture"] == "Colours"
    assert spec.provenance["difference"]["max_abs"] < 1e-5
    assert "tokenizer.json" not in spec.files
    assert spec.golden
    assert {entry["label"] for entry in spec.golden.answer} == {"red", "green", "blue"}
    assert capsys.readouterr().out == ""


def test_a_folder_of_pictures_is_verified_too(options: Options) -> None:
    from PIL import Image

    Path("pictures").mkdir()
    Path("pictures/notes.txt").write_text("not a picture")
    for name, colour in (("a.png", "red"), ("b.jpg", "blue")):
        Image.new("RGB", (20, 10), colour).save(Path("pictures") / name)

    spec = prepare(replace(options, inputs=Path("pictures"), golden=Path("pictures/a.png")))

    assert spec.provenance["difference"]["inputs"] == 3
    assert spec.golden
    assert spec.golden.answer[0]["label"] == "red"


def test_a_text_module_is_traced_with_the_inputs_that_it_names(options: Options) -> None:
    spec = prepare(two_labels(options, "text"))

    assert [t.name for t in spec.inputs] == ["input_ids", "attention_mask"]
    assert spec.outputs[0].shape == ("batch_size", 2)
    answer = scoring.load("out").handle(scoring.Request(b'{"inputs": ["good", "a very bad day"]}'))
    assert len(json.loads(answer.body)) == 2


def test_a_graph_that_answers_otherwise_is_stopped_with_the_figures(options: Options) -> None:
    wanted = (
        r"differ by up to 1 on 61 inputs, more than 0.001 \(--tolerance\); mean difference 1,"
        r" .*worst input \d+: .* line"
    )
    with pytest.raises(PrepareError, match=wanted):
        prepare(two_labels(options, "moody"))

    assert not Path("out").exists()
    assert [p.name for p in Path().iterdir() if p.name.startswith(".out")] == []


def test_a_failure_leaves_the_model_directory_that_was_there(options: Options) -> None:
    prepare(two_labels(options, "text"))
    before = {p.name: p.read_bytes() for p in Path("out").iterdir()}

    with pytest.raises(PrepareError):
        prepare(two_labels(options, "moody"))

    assert {p.name: p.read_bytes() for p in Path("out").iterdir()} == before


def test_a_larger_tolerance_lets_a_known_difference_pass_and_records_it(options: Options) -> None:
    spec = prepare(replace(two_labels(options, "moody"), tolerance=2.0, min_agreement=0.5))

    assert spec.provenance["difference"]["max_abs"] == pytest.approx(1, abs=1e-5)
    assert spec.provenance["difference"]["tolerance"] == 2


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("tiny_modules:absent", "has no attribute 'absent'"),
        ("no_such_module:make", "No module named 'no_such_module'"),
        ("tiny_modules:nothing", "returned NoneType, expected a torch.nn.Module"),
        ("tiny_modules:broken", r"broken\(\) raised RuntimeError: no weights here"),
        ("unsound_module:make", "importing unsound_module raised ZeroDivisionError"),
    ],
)
def test_a_factory_that_gives_no_module_is_named(
    options: Options, source: str, message: str
) -> None:
    with pytest.raises((UsageError, PrepareError), match=f"SOURCE {source}: .*{message}"):
        prepare(replace(options, source=source))


def test_int8_that_does_not_go_with_a_graph_is_skipped_with_the_reason(options: Options) -> None:
    with pytest.raises(
        PrepareError, match=r"no variant int8-d.* within the gate:\n .*: skipped: .*linear layers"
    ):
        prepare(replace(options, variant=INT8, cpu=CPU))

    assert not Path("out").exists()


def matmul_graph(path: Path, width: int = 64) -> Path:
    """logits [batch, 3] of token ids: an embedding, a sum over the tokens, a product with random
    weights."""
    random = np.random.default_rng(0)
    nodes = [
        helper.make_node("Gather", ["table", "input_ids"], ["vectors"]),
        helper.make_node("ReduceMean", ["vectors"], ["mean"], axes=[1], keepdims=0),
        helper.make_node("MatMul", ["mean", "weights"], ["logits"]),
    ]
    shapes = {"table": (len(tiny.VOCABULARY), width), "weights": (width, 3)}
    constants = [
        numpy_helper.from_array(random.normal(size=s).astype(np.float32), n)
        for n, s in shapes.items()
    ]
    ids = helper.make_tensor_value_info("input_ids", TensorProto.INT64, ["batch", "sequence"])
    out = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 3])
    graph = helper.make_graph(nodes, "votes", [ids], [out], constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        str(path),
    )
    return path


@pytest.fixture
def onnx_options(tmp_path: Path) -> Options:
    labels = tmp_path / "labels.json"
    labels.write_text('["bad", "good", "long"]')
    return as_exported(
        str(matmul_graph(tmp_path / "votes.onnx")),
        tmp_path / "out",
        "text-classification",
        labels=labels,
        tokenizer=checkpoints.tokenizer(tmp_path / "tokenizer"),
    )


def test_an_onnx_file_is_taken_as_it_is(onnx_options: Options) -> None:
    spec = prepare(onnx_options)

    assert (onnx_options.out / "model.onnx").read_bytes() == Path(onnx_options.source).read_bytes()
    assert spec.provenance["difference"] == {"not measured": "no source model"}
    assert spec.provenance["source"] == {
        "kind": "onnx",
        "name": "votes.onnx",
        "sha256": spec.files["model.onnx"],
    }
    assert (spec.opset, spec.ir_version, spec.cpu) == (17, 8, None)


def test_a_tokenizer_json_alone_is_enough(onnx_options: Options) -> None:
    prepare(onnx_options)

    spec = prepare(
        replace(onnx_options, tokenizer=onnx_options.out, out=onnx_options.out.with_name("again"))
    )

    assert spec.settings["pad_token_id"] == tiny.VOCABULARY["[PAD]"]
    assert "token_type_ids" not in spec.settings  # as the file gives them, so the graph gets them
    assert spec.files == scoring.ModelSpec.read(onnx_options.out).files


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ("{", "config.json: not readable as JSON"),
        ("[]", "expected a JSON object, got list"),
        ('{"id2label": {"a": "x"}}', "id2label must map numbers to names"),
    ],
)
def test_a_broken_configuration_beside_the_tokenizer_is_named(
    onnx_options: Options, config: str, message: str
) -> None:
    assert onnx_options.tokenizer
    (onnx_options.tokenizer / "config.json").write_text(config)
    with pytest.raises(UsageError, match=message):
        prepare(replace(onnx_options, labels=None))


def test_a_configuration_without_its_model_s_type_is_enough(onnx_options: Options) -> None:
    assert onnx_options.tokenizer
    config = {"max_position_embeddings": 40, "id2label": {"0": "bad", "1": "good", "2": "long"}}
    (onnx_options.tokenizer / "config.json").write_text(json.dumps(config))
    spec = prepare(replace(onnx_options, labels=None))
    assert (spec.settings["max_length"], spec.labels) == (40, ("bad", "good", "long"))


def test_an_onnx_file_with_int8_is_measured_against_itself(onnx_options: Options) -> None:
    spec = prepare(replace(onnx_options, variant=INT8, cpu=CPU))

    assert (spec.precision, spec.cpu) == ("int8", CPU)
    assert 0 < spec.provenance["difference"]["max_abs"] < 0.5
    kinds = {node.op_type for node in onnx.load(str(onnx_options.out / "model.onnx")).graph.node}
    assert any("Integer" in kind for kind in kinds)
    assert "MatMul" not in kinds


def test_weights_beside_an_onnx_file_are_taken_into_it(onnx_options: Options) -> None:
    model = onnx.load(onnx_options.source)
    onnx.save(
        model,
        onnx_options.source,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )

    prepare(onnx_options)

    assert sorted(p.name for p in onnx_options.out.iterdir()) == [
        "model.onnx",
        "model_spec.json",
        "report.md",
        "tokenizer.json",
    ]
    assert (
        scoring.load(onnx_options.out).handle(scoring.Request(b'{"inputs": "good"}')).status == 200
    )


def test_a_graph_that_the_hosts_cannot_load_is_refused(onnx_options: Options) -> None:
    model = onnx.load(onnx_options.source)
    model.ir_version = 14
    onnx.save(model, onnx_options.source)

    with pytest.raises(
        PrepareError, match="IR version 14; the hosts load up to opset 26 and IR version 13"
    ):
        prepare(onnx_options)


def test_a_graph_of_another_task_is_refused(onnx_options: Options) -> None:
    with pytest.raises(
        PrepareError, match="question-answering needs the outputs start_logits and end_logits"
    ):
        prepare(replace(onnx_options, task="question-answering", labels=None))


def test_labels_that_do_not_fit_the_graph_are_refused(onnx_options: Options) -> None:
    assert onnx_options.labels
    onnx_options.labels.write_text('["one"]')

    with pytest.raises(PrepareError, match="'labels' holds 1 names, the graph gives 3 scores"):
        prepare(onnx_options)

"""Task tensors: any ONNX file, or a PyTorch module whose arrays are known from the golden
request."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxferry import scoring
from onnxferry.scripts.prepare import Options, prepare
from onnxferry.system.errors import PrepareError, UsageError
from tests.scripts.checkpoints import CPU, INT8, as_exported, working_directory

MODULES = '''
import torch

class Line(torch.nn.Module):
    """The sum of x's rows, and x * scale."""
    def forward(self, x, scale=None):
        y = x if scale is None else x * scale
        return {"total": y.sum(-1), "scaled": y}

class Pairs(torch.nn.Module):
    """Takes exactly two rows, and returns a tuple."""
    def forward(self, x):
        first, second = x
        return first + second, first > second

class Wordy(torch.nn.Module):
    def forward(self, x):
        return "many words"
'''


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[None]:
    with working_directory(tmp_path, "array_modules"):
        Path("array_modules.py").write_text(MODULES)
        yield


def golden(payload: Any, name: str = "golden.json") -> Path:
    Path(name).write_text(json.dumps(payload))
    return Path(name)


def module(name: str, payload: Any) -> Options:
    return as_exported(f"array_modules:{name}", Path("out"), "tensors", golden=golden(payload))


def ask(payload: Any) -> Any:
    response = scoring.load("out").handle(scoring.Request(json.dumps(payload).encode()))
    assert response.status == 200, response.body
    return json.loads(response.body)


def product(path: str, width: int = 32, wide: int | str = "batch") -> Options:
    """An .onnx file: logits = x @ weights, and ids as they came where flag is true."""
    weights = np.random.default_rng(0).normal(size=(width, 8)).astype(np.float32)
    inputs = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [wide, width]),
        helper.make_tensor_value_info("ids", TensorProto.INT64, [wide]),
        helper.make_tensor_value_info("flag", TensorProto.BOOL, [wide]),
    ]
    outputs = [
        helper.make_tensor_value_info("logits", TensorProto.FLOAT, [wide, 8]),
        helper.make_tensor_value_info("kept", TensorProto.INT64, [wide]),
    ]
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["logits"]),
        helper.make_node("Where", ["flag", "ids", "zero"], ["kept"]),
    ]
    constants = [
        numpy_helper.from_array(weights, "weights"),
        numpy_helper.from_array(np.array(0), "zero"),
    ]
    graph = helper.make_graph(nodes, "product", inputs, outputs, constants)
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path
    )
    return as_exported(path, Path("out"), "tensors")


def test_an_onnx_file_needs_nothing_else_and_proves_itself_on_generated_arrays() -> None:
    spec = prepare(product("product.onnx"))

    assert sorted(p.name for p in Path("out").iterdir()) == [
        "model.onnx",
        "model_spec.json",
        "report.md",
    ]
    assert (spec.task, spec.settings, spec.labels) == ("tensors", {}, ())
    assert spec.provenance["difference"] == {"not measured": "no source model"}
    assert spec.golden
    inputs = json.loads(spec.golden.request.body)["inputs"]
    assert (np.shape(inputs["x"]), inputs["x"][0][:2]) == ((1, 32), [0.0, 0.031])
    assert (inputs["ids"], inputs["flag"]) == ([1], [True])
    assert spec.golden.answer == ask({"inputs": inputs})
    assert spec.golden.answer["kept"] == [1]


def test_a_user_s_golden_arrays_may_be_npy() -> None:
    table = numpy_helper.from_array(np.eye(2, dtype=np.float32), "table")
    pair = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", 2]) for name in ("x", "y")
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "table"], ["y"])], "one", pair[:1], pair[1:], [table]
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8),
        "one.onnx",
    )
    body = io.BytesIO()
    np.save(body, np.array([[1.5, 2.0]], np.float32))
    Path("golden.npy").write_bytes(body.getvalue())

    spec = prepare(as_exported("one.onnx", Path("out"), "tensors", golden=Path("golden.npy")))

    assert spec.golden
    assert (spec.golden.request.content_type, spec.golden.answer) == (
        "application/x-npy",
        {"y": [[1.5, 2.0]]},
    )
    assert scoring.ModelSpec.read(Path("out")) == spec


def test_arrays_that_the_graph_refuses_ask_for_the_user_s() -> None:
    options = replace(
        product("product.onnx"),
        golden=golden({"inputs": {"x": [[1.0]], "ids": [1], "flag": [True]}}),
    )

    with pytest.raises(
        PrepareError,
        match=r"golden request golden.json got status 400: .*\[batch, 32\].*--golden FILE",
    ):
        prepare(options)


def test_a_golden_answer_that_every_package_would_carry_is_bounded() -> None:
    options = product("product.onnx", wide=20_000)

    with pytest.raises(
        PrepareError, match=r"golden answer has [\d,]+ bytes; at most 1,000,000 .*; give a smaller"
    ):
        prepare(options)


def test_int8_is_measured_on_the_user_s_inputs_too() -> None:
    random = np.random.default_rng(1)
    rows = [
        {
            "inputs": {
                "x": random.normal(size=(3, 32)).tolist(),
                "ids": [1, 2, 3],
                "flag": [False] * 3,
            }
        }
        for _ in range(3)
    ]
    Path("own.jsonl").write_text("\n".join(map(json.dumps, rows)))

    spec = prepare(
        replace(product("product.onnx"), variant=INT8, cpu=CPU, inputs=Path("own.jsonl"))
    )

    assert (
        spec.precision,
        spec.provenance["difference"]["inputs"],
        spec.provenance["difference"]["agreement"],
    ) == ("int8", 4, 1)
    assert 0 < spec.provenance["difference"]["max_abs"] < 0.5


def test_a_module_s_arrays_are_those_of_the_golden_request() -> None:
    spec = prepare(module("Line", {"inputs": {"x": [[1.0, 2.0]], "scale": [[2.0]]}}))

    assert [(t.name, t.dtype, t.shape) for t in spec.inputs] == [
        ("x", "float32", ("batch", 2)),
        ("scale", "float32", ("batch", 1)),
    ]
    assert spec.golden
    assert spec.golden.answer == {"total": [6.0], "scaled": [[2.0, 4.0]]}
    assert spec.provenance["difference"]["max_abs"] == 0
    three = {"inputs": {"x": [[1, 1], [2, 2], [3, 3]], "scale": [[1], [1], [1]]}}
    assert ask(three)["total"] == [2, 4, 6]


def test_sizes_in_which_the_requests_differ_are_dynamic() -> None:
    Path("own.jsonl").write_text('{"inputs": [[1.0, 2.0, 3.0]]}\n')

    spec = prepare(replace(module("Line", {"inputs": [[1.0, 2.0]]}), inputs=Path("own.jsonl")))

    assert [(t.name, t.shape) for t in spec.inputs] == [("x", ("batch", "x_1"))]
    assert spec.provenance["difference"]["inputs"] == 2
    assert ask({"inputs": [[1.0, 2.0, 3.0, 4.0]]})["total"] == [10]


def test_a_module_that_takes_no_other_number_of_rows_keeps_its_own() -> None:
    spec = prepare(module("Pairs", {"inputs": [[1.0], [2.0]]}))

    assert [(t.name, t.shape) for t in spec.inputs] == [("x", (2, 1))]
    assert spec.golden
    assert spec.golden.answer == {"output_0": [3.0], "output_1": [False]}


@pytest.mark.parametrize(
    ("name", "payload", "message"),
    [
        (
            "Line",
            {"inputs": {"z": [[1.0]]}},
            "'inputs' holds z; the module's forward takes x, scale",
        ),
        (
            "Line",
            {"inputs": {"scale": [[1.0]]}},
            "'inputs' holds scale; the module's forward takes x, scale",
        ),
        (
            "Line",
            {"inputs": [[1.0], [1.0, 2.0]]},
            "inputs.x: lists of different lengths are no array",
        ),
        ("Line", {"inputs": ["a"]}, "inputs.x: expected numbers or booleans"),
        ("Line", {"x": [[1.0]]}, 'expected a request such as {"inputs"'),
        (
            "Pairs",
            {"inputs": [[1.0]]},
            r"Pairs.forward raised ValueError for x \[1, 1\] torch.float32",
        ),
        ("Wordy", {"inputs": [[1.0]]}, "Wordy.forward returned str; expected tensors"),
    ],
)
def test_what_does_not_fit_the_module_is_named(name: str, payload: Any, message: str) -> None:
    with pytest.raises((UsageError, PrepareError), match=message):
        prepare(module(name, payload))

    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            as_exported(".", Path("out"), "tensors"),
            "--task tensors takes an .onnx file or module:factory",
        ),
        (
            as_exported("array_modules:Line", Path("out"), "tensors"),
            "--golden FILE is needed: a request such as",
        ),
        (
            as_exported(
                "array_modules:Line",
                Path("out"),
                "tensors",
                golden=Path("array_modules.py"),
                tokenizer=Path(),
            ),
            "--tokenizer: tensors has no texts",
        ),
        (
            as_exported(
                "array_modules:Line",
                Path("out"),
                "tensors",
                golden=Path("here"),
                labels=Path("labels"),
            ),
            "--labels: tensors has no labels",
        ),
    ],
)
def test_each_wrong_flag_is_named(options: Options, message: str) -> None:
    Path("labels").write_text("a\n")
    Path("here").touch()
    with pytest.raises(UsageError, match=message):
        prepare(options)

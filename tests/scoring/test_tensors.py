"""Any graph: named arrays in and out, checked against what the graph takes."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from onnxferry import scoring
from onnxferry.scoring.engine import Session
from onnxferry.scoring.manifest import MODEL_FILE
from onnxferry.scoring.tasks.tensors import Tensors
from tests import tiny

GOOD = {"x": [[1, 2.5], [-3, 0]], "k": [[1], [2]]}


@pytest.fixture(scope="module")
def scorer(tmp_path_factory: pytest.TempPathFactory) -> scoring.Scorer:
    return scoring.load(tiny.tensors(tmp_path_factory.mktemp("tensors")))


def ask(scorer: scoring.Scorer, inputs: Any, **parameters: Any) -> Any:
    body = json.dumps({"inputs": inputs, "parameters": parameters}).encode()
    return json.loads(scorer.handle(scoring.Request(body)).body)


def test_named_arrays_come_back_as_named_arrays(scorer: scoring.Scorer) -> None:
    assert ask(scorer, GOOD) == {
        "square": [[4, 12.25], [1, 4]],
        "positive": [[True, True], [False, False]],
    }


def test_outputs_are_chosen_by_name(scorer: scoring.Scorer) -> None:
    assert ask(scorer, GOOD, outputs="positive") == {"positive": [[True, True], [False, False]]}
    assert list(ask(scorer, GOOD, outputs=["positive", "square"])) == ["positive", "square"]


def test_a_graph_with_one_input_takes_it_without_its_name_and_as_npy(tmp_path: Path) -> None:
    scorer = scoring.load(tiny.typed(tmp_path, TensorProto.FLOAT, ["n", 2]))
    assert ask(scorer, [[1, 2]]) == ask(scorer, {"x": [[1, 2]]}) == {"same": [[1, 2]]}
    for dtype in ("<f8", ">f4", "<i2"):
        body = io.BytesIO()
        np.save(body, np.array([[1, 2]], dtype))
        response = scorer.handle(
            scoring.Request(body.getvalue(), "application/x-npy", "application/x-npy")
        )
        np.testing.assert_array_equal(np.load(io.BytesIO(response.body)), [[1, 2]])


@pytest.mark.parametrize(
    ("inputs", "code", "names"),
    [
        (
            3,
            "invalid_type",
            (
                "'inputs' must be an object with x [n, m] of float32, k [n, 1] of int64, got an"
                " integer"
            ),
        ),
        (
            {"x": [[1]]},
            "invalid_value",
            "'inputs.k' is missing; it takes x [n, m] of float32, k [n, 1] of int64",
        ),
        ({**GOOD, "z": 1}, "invalid_value", "'inputs.z' is not an input of the graph"),
        (
            {**GOOD, "k": [1, 2]},
            "invalid_value",
            "'inputs.k' must be lists of depth 2, [n, 1] of int64; depth 1 ends",
        ),
        (
            {**GOOD, "k": [[[1]], [[2]]]},
            "invalid_type",
            "'inputs.k' must hold integers (int64) at depth 2, got a list",
        ),
        (
            {**GOOD, "k": [[1], [2, 3]]},
            "invalid_value",
            "'inputs.k' has lists of different lengths at depth 2",
        ),
        (
            {**GOOD, "k": [[1, 1], [2, 2]]},
            "invalid_value",
            "'inputs.k' has shape [2, 2]; the graph takes [n, 1]",
        ),
        (
            {**GOOD, "k": [[1]]},
            "invalid_value",
            "'inputs.k' has 1 for the size 'n', and 'inputs.x' has 2",
        ),
        (
            {**GOOD, "k": [[1.0], [2]]},
            "invalid_type",
            "'inputs.k' must hold integers (int64) at depth 2, got a number",
        ),
        (
            {**GOOD, "k": [[True], [2]]},
            "invalid_type",
            "'inputs.k' must hold integers (int64) at depth 2, got a bool",
        ),
        (
            {**GOOD, "k": [["1"], [2]]},
            "invalid_type",
            "'inputs.k' must hold integers (int64) at depth 2, got a string",
        ),
        (
            {**GOOD, "k": [[2**63], [2]]},
            "invalid_value",
            "'inputs.k' holds a number that int64 cannot",
        ),
        (
            {**GOOD, "x": [[1e39, 1], [1, 1]]},
            "invalid_value",
            "'inputs.x' holds a number that float32 cannot",
        ),
        (
            {**GOOD, "x": [[10**400, 1], [1, 1.5]]},
            "invalid_value",
            "'inputs.x' holds a number that is too large",
        ),
        (
            {**GOOD, "x": [[None, 1], [1, 1]]},
            "invalid_type",
            "'inputs.x' must hold numbers (float32) at depth 2, got n",
        ),
        ({"x": [], "k": []}, "invalid_value", "'inputs.x' has shape [0, 0], and so holds nothing"),
    ],
)
def test_what_the_graph_does_not_take_is_refused_by_name(
    scorer: scoring.Scorer, inputs: Any, code: str, names: str
) -> None:
    error = ask(scorer, inputs)["error"]
    assert error["code"] == code
    assert names in error["message"]


def test_an_output_that_the_graph_lacks_is_refused(scorer: scoring.Scorer) -> None:
    message = ask(scorer, GOOD, outputs=["cube"])["error"]["message"]
    assert message == "'parameters.outputs' names 'cube'; the graph gives square, positive"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (TensorProto.BOOL, [True, False], [1, 0]),
        (TensorProto.UINT8, [0, 255], [0, 256]),
        (TensorProto.INT8, [-128, 127], [-129, 0]),
        (TensorProto.UINT64, [0, 2**64 - 1], [-1, 0]),
        (TensorProto.FLOAT16, [1, 65504], [1, 65520]),
        (TensorProto.DOUBLE, [1, 1e300], ["1", "2"]),
        (TensorProto.STRING, ["a", "naïve 😀"], [1, 2]),
    ],
)
def test_every_type_is_taken_exactly(tmp_path: Path, kind: int, good: Any, bad: Any) -> None:
    scorer = scoring.load(tiny.typed(tmp_path, kind, ["n"]))
    assert ask(scorer, good) == {"same": good}
    assert ask(scorer, bad)["error"]["code"] in ("invalid_type", "invalid_value")


def test_one_long_string_among_many_does_not_fill_the_memory(tmp_path: Path) -> None:
    """numpy's own strings are all as long as the longest: here 280 GB."""
    scorer = scoring.load(tiny.typed(tmp_path, TensorProto.STRING, ["n"]))
    texts = ["x" * 100_000, *(["y"] * 700_000)]
    assert ask(scorer, texts) == {"same": texts}


def test_indices_beyond_the_graphs_tables_are_the_callers_mistake(tmp_path: Path) -> None:
    tiny.feature_extraction(tmp_path)
    tiny.write_spec(tmp_path, scoring.ModelSpec("lookup", "tensors"))
    error = ask(scoring.load(tmp_path), [[99_999]])["error"]
    assert error["code"] == "invalid_value"
    assert "the graph cannot compute these inputs" in error["message"]


def test_an_answer_of_too_many_numbers_is_refused(tmp_path: Path) -> None:
    folder = tiny.tensors(tmp_path)
    spec, session = scoring.ModelSpec.read(folder), Session(folder / MODEL_FILE)
    scorer = scoring.Scorer(spec, Tensors(spec, session, folder, max_numbers=7))
    assert (
        "the answer holds 8 numbers, and one request gets at most 7"
        in ask(scorer, GOOD)["error"]["message"]
    )
    assert "square" in ask(scorer, GOOD, outputs="square")

"""The table of sizes: each byte is in a row, and the document's libraries are today's."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper

from examples.sizes import table, unpacked, weights
from onnxferry.scripts.package import package
from tests import tiny
from tests.documents import read
from tests.packages import bare, quick, quiet
from tests.scripts.graphs import save, value

PLAIN = ("numpy", "onnxruntime", "tokenizers")


def test_each_byte_of_a_package_is_in_one_row(tmp_path: Path) -> None:
    model = tiny.text_classification(tmp_path / "model")
    layouts = [bare(target) for target in ("sagemaker", "mlflow", "local", "functions")]
    built = [package(model, layout, out=tmp_path, report=quiet) for layout in layouts]
    for each in built:
        found = unpacked(each, model)
        assert sum(found.values()) == sum(member.size for member in each.members)
        assert found["model.onnx"] == (model / "model.onnx").stat().st_size
        assert found["tokenizer.json"] == (model / "tokenizer.json").stat().st_size
    lines = table(model, built).splitlines()
    assert lines[0] == "| MB | sagemaker | mlflow | local | functions |"
    size, zipped = re.findall(r"\d+\.\d+", lines[-1])
    assert [size, zipped] == [f"{built[i].size / 1e6:.2f}" for i in (0, 3)]


def test_each_weight_is_in_a_row_by_what_it_is_for(tmp_path: Path) -> None:
    arrays = {
        "words": np.ones((2**12, 256), np.int8),
        "positions": np.ones((2**10, 64), np.float32),
        "w": np.ones((256, 64), np.int8),
        "scales": np.ones(64, np.float32),
    }
    nodes = [
        helper.make_node("Gather", ["words", "ids"], ["a"], "a"),
        helper.make_node("Gather", ["positions", "ids"], ["b"], "b"),
        helper.make_node("MatMulInteger", ["a", "w"], ["c"], "c"),
        helper.make_node("Mul", ["b", "scales"], ["d"], "d"),
    ]
    outputs = [value("c", "n", 64, kind=TensorProto.INT32), value("d", "n", 64)]
    ids = value("ids", "n", kind=TensorProto.INT64)
    save(tmp_path / "model.onnx", nodes, [ids], outputs, arrays)
    assert [line.split(" | ")[:2] for line in weights(tmp_path).splitlines()[2:]] == [
        ["| words, int8", "1.05"],
        ["| positions, float", "0.26"],
        ["| linear layers, int8", "0.02"],
        ["| scales, biases, normalisation", "0.00"],
    ]


@pytest.mark.host
def test_the_document_has_the_sizes_of_the_libraries_that_are_packed_today(tmp_path: Path) -> None:
    model = tiny.text_classification(tmp_path / "model")
    built = package(model, quick("container"), out=tmp_path, report=quiet)
    found = unpacked(built, model)
    page = read("docs/package-and-rehearse.md")
    (columns, *_) = re.findall(r"^\| MB \|.*$", page, re.MULTILINE)
    column = columns.split("|").index(" container ")
    for library in PLAIN:
        rows = [line.split("|") for line in page.splitlines() if line.startswith(f"| {library} |")]
        said = {row[column].strip() for row in rows}
        assert said == {f"{found[library] / 1e6:.2f}"}, "make it again: make sizes"

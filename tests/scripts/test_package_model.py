"""A model directory that no host could serve is refused before it is packed."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper

from onnxferry.scripts.engines import ENGINES
from onnxferry.scripts.package import model, pins
from onnxferry.system.errors import PackageError
from tests import tiny


def change(folder: Path, **changes: Any) -> Path:
    spec = json.loads((folder / "model_spec.json").read_text())
    (folder / "model_spec.json").write_text(json.dumps({**spec, **changes}))
    return folder


def test_a_text_model_brings_tokenizers_and_a_picture_model_pillow_and_urllib3(
    tmp_path: Path,
) -> None:
    text = model.check(tiny.question_answering(tmp_path / "qa"), "3.12")
    pictures = model.check(tiny.image_classification(tmp_path / "image"), "3.12")

    assert (text.libraries, text.files) == (
        ("tokenizers",),
        ("model.onnx", "model_spec.json", "tokenizer.json"),
    )
    assert (pictures.libraries, pictures.files) == (
        ("pillow", "urllib3"),
        ("model.onnx", "model_spec.json"),
    )


def test_files_that_the_spec_lists_are_packed_and_others_are_not(tmp_path: Path) -> None:
    folder = tiny.question_answering(tmp_path)
    (folder / "vocabulary").mkdir()
    (folder / "vocabulary" / "words.txt").write_text("a")
    (folder / "notes.md").write_text("mine")
    change(folder, files={"vocabulary/words.txt": hashlib.sha256(b"a").hexdigest()})

    files = model.check(folder, "3.12").files

    assert "vocabulary/words.txt" in files
    assert "notes.md" not in files


@pytest.mark.parametrize(
    ("missing", "says"),
    [
        ("model_spec.json", r"no model_spec\.json.*onnxferry prepare"),
        ("model.onnx", r"no model\.onnx.*onnxferry prepare"),
        ("tokenizer.json", r"no tokenizer\.json, which task question-answering needs"),
    ],
)
def test_a_missing_file_is_named(tmp_path: Path, missing: str, says: str) -> None:
    folder = tiny.question_answering(tmp_path)
    (folder / missing).unlink()

    with pytest.raises(PackageError, match=says):
        model.check(folder, "3.12")


def test_a_file_that_is_not_the_one_that_was_prepared_is_named(tmp_path: Path) -> None:
    folder = change(tiny.question_answering(tmp_path), files={"model.onnx": "0" * 64})

    with pytest.raises(
        PackageError, match=r"model\.onnx: sha256 is [0-9a-f]{64}, but model_spec\.json says 0{64}"
    ):
        model.check(folder, "3.12")


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd"])
def test_a_listed_file_outside_of_the_directory_is_refused(tmp_path: Path, name: str) -> None:
    folder = change(tiny.question_answering(tmp_path), files={name: "0" * 64})

    with pytest.raises(PackageError, match="is outside of the model directory"):
        model.check(folder, "3.12")


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "Ä", "x" * 64])
def test_a_name_that_cannot_name_a_folder_is_refused(tmp_path: Path, name: str) -> None:
    folder = change(tiny.question_answering(tmp_path), name=name)

    with pytest.raises(PackageError, match="cannot name a folder"):
        model.check(folder, "3.12")


def test_an_unknown_task_lists_the_known(tmp_path: Path) -> None:
    folder = change(tiny.question_answering(tmp_path), task="question-anwsering")

    with pytest.raises(
        PackageError, match=r"unknown task 'question-anwsering' in model_spec.json; known: .*"
    ):
        model.check(folder, "3.12")


@pytest.mark.parametrize(("key", "what"), [("ir_version", "IR version"), ("opset", "opset")])
def test_a_graph_newer_than_the_pinned_onnxruntime_is_refused(
    tmp_path: Path, key: str, what: str
) -> None:
    newest = ENGINES[pins.version("onnxruntime", "3.10")][("ir_version", "opset").index(key)]
    folder = change(tiny.question_answering(tmp_path), **{key: newest + 1})

    with pytest.raises(
        PackageError,
        match=rf"ONNX {what} {newest + 1}; onnxruntime .* for Python 3\.10, loads at most",
    ):
        model.check(folder, "3.10")
    model.check(folder, "3.12")  # whose onnxruntime is newer


def test_every_pinned_onnxruntime_has_a_row() -> None:
    versions = {
        pin.partition("==")[2].partition(";")[0] for pin in pins.lines(["onnxruntime"]).splitlines()
    }

    assert versions == set(ENGINES)


@pytest.mark.skipif(
    onnxruntime.__version__ not in ENGINES, reason="another onnxruntime than a pinned one"
)
def test_the_row_of_the_installed_onnxruntime_is_what_it_loads() -> None:
    newest_ir, newest_opset = ENGINES[onnxruntime.__version__]

    assert loads(newest_ir, 13)
    assert loads(8, newest_opset)
    assert not loads(newest_ir + 1, 13)
    assert not loads(8, newest_opset + 1)


def loads(ir_version: int, opset: int) -> bool:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "identity", [x], [y])
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    made.ir_version = ir_version
    try:
        onnxruntime.InferenceSession(made.SerializeToString(), providers=["CPUExecutionProvider"])
    except Exception:  # onnxruntime has one class an error code, with no common base but Exception
        return False
    return True

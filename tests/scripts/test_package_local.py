"""The local server's package: a folder that holds all but the Python, and says what to install."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from onnxferry import scoring
from onnxferry.scripts.package import layout_of, package
from tests import tiny


def build(model: Path, out: Path, python: str | None = None) -> Path:
    return package(model, "local", out=out, python=python, report=lambda title: nullcontext()).path


def test_the_folder_holds_the_server_the_core_and_the_model(tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")

    folder = build(model, tmp_path)

    assert folder == tmp_path / "local" / "tiny-qa" / "package"
    assert {p.name for p in folder.iterdir()} == {
        "server.py",
        "onnxferry",
        "model",
        "requirements.txt",
    }
    assert {p.name for p in (folder / "model").iterdir()} == {
        "model.onnx",
        "model_spec.json",
        "tokenizer.json",
    }
    assert (folder / "onnxferry" / "pipelines" / "server_config.py").is_file()
    original = Path(scoring.__file__).parent
    for file in original.rglob("*.py"):
        assert (
            folder / "onnxferry" / "scoring" / file.relative_to(original)
        ).read_bytes() == file.read_bytes()


def test_the_first_line_says_how_to_start_it_and_each_other_is_an_exact_pin(tmp_path: Path) -> None:
    lines = (
        (build(tiny.question_answering(tmp_path / "model"), tmp_path) / "requirements.txt")
        .read_text()
        .splitlines()
    )

    assert lines[0].endswith("pip install -r requirements.txt && python server.py")
    pins = [Requirement(line) for line in lines[1:]]
    assert all([s.operator for s in pin.specifier] == ["=="] for pin in pins)
    names = {pin.name for pin in pins}
    assert {"fastapi", "uvicorn", "starlette", "h11", "numpy", "onnxruntime", "tokenizers"} <= names
    assert not {"pillow", "flask", "azure-functions"} & names


def test_a_pictures_host_gets_pillow_and_no_tokenizers(tmp_path: Path) -> None:
    text = (
        build(tiny.image_classification(tmp_path / "model"), tmp_path) / "requirements.txt"
    ).read_text()

    assert "\npillow==" in text
    assert "\nurllib3==" in text
    assert "tokenizers" not in text


@pytest.mark.parametrize("python", ["3.10", "3.11", "3.13"])
def test_one_folder_serves_each_python(tmp_path: Path, python: str) -> None:
    model = tiny.question_answering(tmp_path / "model")

    assert python in layout_of("local").pythons
    mine, default = build(model, tmp_path / "mine", python), build(model, tmp_path / "default")
    assert (mine / "requirements.txt").read_bytes() == (default / "requirements.txt").read_bytes()

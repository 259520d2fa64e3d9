"""What is asked wrongly is refused before anything is loaded, by the flag's name."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxferry.scripts.prepare import Options, prepare
from onnxferry.scripts.prepare.__main__ import command
from onnxferry.scripts.prepare.options import check
from onnxferry.system.errors import UsageError
from tests.scripts.checkpoints import working_directory

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path: Path) -> Iterator[None]:
    with working_directory(tmp_path):
        Path("folder").mkdir()
        Path("model.onnx").write_bytes(b"not a graph")
        Path("notes").mkdir()
        Path("notes/diary.txt").write_text("precious")
        yield


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            Options("my model", Path("out")),
            "SOURCE my model: no such folder or .onnx file.*org/name",
        ),
        (Options("absent.onnx", Path("out")), "SOURCE absent.onnx: no such folder"),
        (
            Options("folder", Path("out"), task="translation"),
            "--task translation: choose one of feature-extraction, ",
        ),
        (
            Options("folder", Path("out"), precision="fp16", cpu="avx2"),
            "--precision fp16: choose one of auto, fp32, int8",
        ),
        (
            Options("folder", Path("out"), cpu="sse2"),
            "--cpu sse2: choose one of any, here, avx2, avx512, ",
        ),
        (Options("folder", Path("out"), data=Path("nope")), "--data nope: no such file or folder"),
        (
            Options("folder", Path("out"), max_metric_drop=2),
            "--max-metric-drop 2: must be between 0 and 1",
        ),
        (Options("folder", Path("out"), threshold=-1), "--threshold -1: must be between 0 and 1"),
        (
            Options("folder", Path("out"), "fill-mask", data=Path("notes")),
            "--data: there is no metric for fill-mask",
        ),
        (Options("folder", Path("out"), opset=9), "--opset 9: choose one of 17, 18"),
        (Options("folder", Path("out"), adapter=Path("nope")), "--adapter nope: no such folder"),
        (
            Options("folder", Path("out"), tokenizer=Path("model.onnx")),
            "--tokenizer model.onnx: no such folder",
        ),
        (Options("folder", Path("out"), labels=Path("nope")), "--labels nope: no such file"),
        (Options("folder", Path("out"), settings=Path("nope")), "--settings nope: no such file"),
        (
            Options("folder", Path("out"), inputs=Path("nope")),
            "--inputs nope: no such file or folder",
        ),
        (Options("folder", Path("out"), golden=Path("nope")), "--golden nope: no such file"),
        (Options("folder", Path("out"), tolerance=0), "--tolerance 0: must be above 0"),
        (
            Options("folder", Path("out"), golden_tolerance=0),
            "--golden-tolerance 0: must be above 0",
        ),
        (
            Options("folder", Path("out"), min_agreement=90),
            "--min-agreement 90: must be between 0 and 1",
        ),
        (Options("folder", Path("out"), name="a/b"), "--name 'a/b': use letters"),
        (Options("model.onnx", Path("out")), "--task is needed for model.onnx"),
        (
            Options("model.onnx", Path("out"), task="text-classification", opset=17),
            "--opset is for exports",
        ),
        (
            Options("model.onnx", Path("out"), "text-classification", Path("folder")),
            "--adapter needs a Hugging Face",
        ),
        (
            Options("model.onnx", Path("out"), task="text-classification"),
            "--tokenizer DIR is needed",
        ),
        (
            Options("model.onnx", Path("out"), task="image-classification"),
            "--settings FILE is needed with preprocess",
        ),
        (Options("folder", Path("model.onnx")), "--out model.onnx: is not a folder"),
        (
            Options("folder", Path("notes")),
            "--out notes: exists, is not empty and holds no model_spec.json",
        ),
    ],
)
def test_each_wrong_flag_is_named(options: Options, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        prepare(options)


def test_the_older_name_of_this_machines_cpu_is_taken() -> None:
    older = "auto"
    check(Options("folder", Path("out"), cpu=older))


def test_the_command_line_prints_the_message_and_exits_with_2() -> None:
    result = CliRunner().invoke(command, ["folder", "--out", "notes"])

    assert result.exit_code == 2
    assert "error: --out notes: exists" in result.stderr
    assert "Traceback" not in result.output
    assert Path("notes/diary.txt").read_text() == "precious"


def test_a_file_that_is_no_graph_is_a_failure_with_its_name() -> None:
    flags = [
        "--out",
        "out",
        "--task",
        "image-classification",
        "--labels",
        "labels.txt",
        "--settings",
        "settings.json",
    ]
    Path("labels.txt").write_text("one\n")
    Path("settings.json").write_text(
        '{"preprocess": [], "rescale_factor": 1, "image_mean": [0, 0, 0], "image_std": [1, 1, 1]}'
    )

    result = CliRunner().invoke(command, ["model.onnx", *flags])

    assert result.exit_code == 1
    assert "model.onnx: not readable as an ONNX model" in result.stderr
    assert not Path("out").exists()


def without_modules(*names: str, source: str = "folder") -> subprocess.CompletedProcess[str]:
    """prepare in a process in which the modules `names` cannot be imported."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({names}))\n"
        "from onnxferry.scripts.prepare.__main__ import command\n"
        f"command(['{source}', '--out', 'out', '--task', 'text-classification'])"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, env=environment
    )


def test_without_the_tool_chain_the_extra_is_named() -> None:
    """As after a plain `pip install`, which brings no onnx, torch or transformers."""
    done = without_modules("onnx", "torch", "transformers")
    assert done.returncode == 2
    assert "pip install 'onnxferry[export,image]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_module_of_our_own_that_cannot_be_imported_is_a_defect() -> None:
    done = without_modules("onnxferry.scripts.prepare.sources.module_source", source="some:thing")
    assert done.returncode == 1
    assert "pip install" not in done.stderr
    assert "ModuleNotFoundError: import of onnxferry.scripts.prepare.sources" in done.stderr

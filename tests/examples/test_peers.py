"""What `make benchmark` makes of peers: environments, and DeepSparse's int8 form of a graph."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from examples import sparse_int8
from examples.servers import environments
from onnxferry.scripts.prepare import prepare
from tests import tiny
from tests.scripts import checkpoints


@pytest.fixture
def requirements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of one environment, on a machine where none can be made."""

    def fail(command: list[str], **_: Any) -> None:
        raise subprocess.CalledProcessError(1, command)

    monkeypatch.setattr(environments, "REQUIREMENTS", tmp_path)
    monkeypatch.setattr(environments, "NAMES", ["one"])
    monkeypatch.setattr(environments, "LATEST", sys.version_info[:2])
    monkeypatch.setattr(subprocess, "run", fail)
    path = tmp_path / "one.txt"
    path.write_text("library==1\n")
    return path


def test_an_environment_of_the_same_file_is_left_and_of_another_made_anew(
    requirements: Path, tmp_path: Path
) -> None:
    made = tmp_path / "peers" / "one" / "made"
    made.parent.mkdir(parents=True)
    made.write_text(requirements.read_text())
    environments.main(str(tmp_path / "peers"), [])
    requirements.write_text("library==2\n")
    with pytest.raises(SystemExit, match=r"one: its environment was not made.*run it again"):
        environments.main(str(tmp_path / "peers"), ["one"])
    assert not made.exists()  # half-made ones are not taken for whole


def test_unknown_peers_and_too_new_pythons_are_told(
    requirements: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="two: there are one"):
        environments.main(str(tmp_path), ["two"])
    monkeypatch.setattr(environments, "LATEST", (3, 0))
    with pytest.raises(SystemExit, match=r"some peers end with 3\.0: .*PEER_PYTHON"):
        environments.main(str(tmp_path), ["one"])


def test_deepsparses_form_is_near_the_source_and_keeps_zeros(tmp_path: Path) -> None:
    source = checkpoints.bert(tmp_path / "source", "question-answering")
    prepare(checkpoints.as_exported(str(source), tmp_path / "served"))
    graph, out = tmp_path / "served" / "model.onnx", tmp_path / "int8.onnx"
    runs = list(sparse_int8.samples(4, 24, (1, len(tiny.VOCABULARY))))
    sparse_int8.quantise(graph, out, runs)
    model = onnx.load(out)
    kinds = [node.op_type for node in model.graph.node]
    # of two layers: six linear layers and two products each, and the head
    assert kinds.count("MatMulInteger") == 2 * 8 + 1 and "MatMul" not in kinds
    weights = [t for t in model.graph.initializer if t.name.endswith("_uint8")]
    assert {numpy_helper.to_array(t).dtype for t in weights} == {np.dtype(np.uint8)}
    feeds = {node.name: runs[0][node.name] for node in onnx.load(graph).graph.input}
    before, after = (onnxruntime.InferenceSession(p).run(None, feeds) for p in (graph, out))
    for one, other in zip(before, after, strict=True):
        assert np.corrcoef(one.ravel(), other.ravel())[0, 1] > 0.98

"""A task of the user's own, from a file in the model directory: the worked example, and what is
refused by name."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from examples.custom_task.pack import pack
from onnxferry import scoring
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.package import package
from onnxferry.system.errors import PackageError
from onnxferry.system.hashes import sha256
from tests import tiny

ECHO = """
import numpy as np
class Echo:
    accepts = ("application/json", "application/x-npy")
    def __init__(self, spec, session, folder):
        self.factor = spec.settings["factor"]
    def answer(self, payload):
        return {"doubled": np.asarray(payload["inputs"]) * self.factor}
"""


@pytest.fixture
def reranker(tmp_path: Path) -> Path:
    return pack(tiny.text_classification(tmp_path / "cross-encoder"), tmp_path / "reranker")


def own(folder: Path, source: str = ECHO, task: str = "file:echo.py:Echo", **settings: Any) -> Path:
    """A model directory with `source` as the file of its task."""
    tiny.text_classification(folder)
    (folder / "echo.py").write_text(source, encoding="utf-8")
    files = {"echo.py": sha256(folder / "echo.py")}
    return tiny.write_spec(folder, ModelSpec("echo", task, {"factor": 2, **settings}, files=files))


def ask(folder: Path, payload: Any) -> Any:
    response = scoring.load(folder).handle(scoring.Request(json.dumps(payload).encode()))
    return json.loads(response.body)


def test_the_worked_example_ranks_documents(reranker: Path) -> None:
    # the tiny model's first score is for bad
    documents = ["bad day", "awful awful", "good day", "it was in 1946"]
    answer = ask(reranker, {"inputs": {"query": "what is bad", "documents": documents}})
    assert [entry["index"] for entry in answer] == [1, 0, 2, 3]
    assert (
        ask(
            reranker, {"inputs": {"query": "x", "documents": documents}, "parameters": {"top_k": 1}}
        )[0]["index"]
        == 1
    )


@pytest.mark.parametrize(
    ("inputs", "names"),
    [
        ({"query": "x"}, "'inputs.documents' is missing"),
        ({"query": 1, "documents": ["x"]}, "'inputs.query' must be a string"),
        ({"query": "x", "documents": ["x", ""]}, "'inputs.documents[1]' is empty"),
    ],
)
def test_its_refusals_are_scorings(reranker: Path, inputs: Any, names: str) -> None:
    assert names in ask(reranker, {"inputs": inputs})["error"]["message"]


def test_a_package_holds_the_tasks_file_and_what_it_needs(reranker: Path, tmp_path: Path) -> None:
    built = package(reranker, "local", out=tmp_path, report=lambda title: nullcontext())
    assert "\ntokenizers==" in (built.path / "requirements.txt").read_text()
    golden = ModelSpec.read(built.path / "model").golden
    assert golden is not None
    scorer = scoring.load(built.path / "model")
    assert json.loads(scorer.handle(golden.request).body) == golden.answer


def test_a_task_may_take_and_give_arrays(tmp_path: Path) -> None:
    assert ask(own(tmp_path), {"inputs": [[1, 2], [3, 4]]}) == {"doubled": [[2, 4], [6, 8]]}


def test_an_exception_of_the_task_is_told_without_its_details(tmp_path: Path) -> None:
    error = ask(own(tmp_path), {"secret": 1})["error"]
    assert error["code"] == "internal"
    assert "inputs" not in error["message"]


@pytest.mark.parametrize(
    ("source", "changes", "names"),
    [
        (
            ECHO,
            {"task": "file:echo.py"},
            "'file:echo.py' in model_spec.json is not file:NAME.py:CLASS",
        ),
        (ECHO, {"task": "file:../echo.py:Echo"}, "is not file:NAME.py:CLASS"),
        (ECHO, {"task": "file:other.py:Echo"}, "'files' in model_spec.json does not list other.py"),
        (ECHO, {"task": "file:echo.py:Other"}, "echo.py has no class Other"),
        (
            ECHO,
            {"needs": ["torch"]},
            "'settings.needs' in model_spec.json must list some of pillow, tokenizers",
        ),
        (ECHO, {"needs": "tokenizers"}, "must list some of pillow, tokenizers, got a string"),
        (
            "import not_there",
            {},
            "echo.py: No module named 'not_there'; a host has numpy, onnxruntime",
        ),
        (
            "from scoring.errors import InvalidValue\n" + ECHO,
            {},
            "echo.py: 'from scoring': scoring is onnxferry.scoring now; write 'from onnxferry.",
        ),
        (ECHO + "\n    import scoring", {}, "'import scoring': scoring is onnxferry.scoring now"),
        ("def", {}, "echo.py: cannot be loaded: SyntaxError"),
        ("1 / 0", {}, "echo.py: cannot be loaded: ZeroDivisionError"),
        (ECHO.replace("factor", "missing", 2), {}, "Echo cannot be made: KeyError"),
        (
            ECHO.replace("application/x-npy", "application/npy"),
            {},
            "accepts must be a tuple of media types among",
        ),
        (ECHO.replace("answer", "reply"), {}, "Echo has no method answer"),
    ],
)
def test_what_is_no_task_is_refused_when_the_model_is_loaded(
    tmp_path: Path, source: str, changes: Any, names: str
) -> None:
    with pytest.raises(scoring.ScoringError) as caught:
        scoring.load(own(tmp_path, source, **changes))
    assert caught.value.code == "invalid_model"
    assert names in str(caught.value)


def test_a_file_that_was_changed_does_not_run(tmp_path: Path) -> None:
    folder = own(tmp_path)
    (folder / "echo.py").write_text("raise SystemExit('ran')")
    with pytest.raises(
        scoring.ScoringError, match=r"echo.py: sha256 is \w+, but model_spec.json says"
    ):
        scoring.load(folder)
    with pytest.raises(PackageError, match=r"echo.py: sha256 is"):
        package(folder, "sagemaker", out=tmp_path / "build", report=lambda title: nullcontext())
    (folder / "echo.py").unlink()
    with pytest.raises(
        scoring.ScoringError, match=r"echo.py: not readable, though model_spec.json lists it"
    ):
        scoring.load(folder)


def test_nothing_is_written_beside_the_file(tmp_path: Path) -> None:
    before = sorted(path.name for path in own(tmp_path).rglob("*"))
    scoring.load(tmp_path)
    assert sorted(path.name for path in tmp_path.rglob("*")) == before

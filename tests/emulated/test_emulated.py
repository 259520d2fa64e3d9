"""An int8 model's answers on an emulated CPU of another kind are this machine's, if it was made for
any, as is the default.

Weights of 7 bits give the same integers on every kind. Those of the full range do not: of them only
what holds everywhere is asserted.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import load_file, save_file

from onnxferry.scoring.golden import difference
from onnxferry.scripts.datasets import built_in
from onnxferry.scripts.prepare import prepare
from tests.emulated.answer import answers
from tests.emulated.machines import MACHINES
from tests.scripts import checkpoints

pytestmark = pytest.mark.emulated
TASKS = ("text-classification", "question-answering")
MADE: dict[str, dict[str, Any]] = {  # name -> what prepare is asked for besides int8
    "any": {},
    "full-range": {"cpu": "avx512-vnni", "variant": "int8-static"},
}
FREE = {"min_agreement": 0, "max_metric_drop": 1}
ASKED = 12  # payloads a model: a request takes a second

ANSWER = Path(__file__).parent / "answer.py"


def checkpoint(folder: Path, task: str) -> Path:
    """A tiny BERT whose head's weights are small: a last bit that becomes another integer within
    moves a score by less than 1e-4, and the order of labels and spans is the same as with large
    ones."""
    path = checkpoints.bert(folder, task) / "model.safetensors"
    weights = load_file(path)
    for name, array in weights.items():
        if name.startswith(("classifier.", "qa_outputs.")):
            weights[name] = array * 0.01
    save_file(weights, path, {"format": "pt"})
    return folder


@pytest.fixture(scope="module")
def questions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for answer.py: each model directory, and what it is asked."""
    root, asked = tmp_path_factory.mktemp("emulated"), {}
    for task in TASKS:
        source = checkpoint(root / task, task)
        parameters = {"top_k": None} if task == "text-classification" else {}
        payloads = [{**p, "parameters": parameters} for p in built_in.payloads(task)[:ASKED]]
        for name, more in MADE.items():
            folder = root / "models" / task / name
            wanted = {"precision": "int8", "variant": None, **FREE, **more}
            prepare(checkpoints.as_exported(str(source), folder, **wanted))
            asked[str(folder)] = payloads
    path = root / "questions.json"
    path.write_text(json.dumps(asked), encoding="utf-8")
    return path


@pytest.mark.parametrize("machine", MACHINES)
def test_an_int8_model_answers_alike_on_another_cpu(machine: str, questions: Path) -> None:
    there: dict[str, list[Any]] = json.loads(MACHINES[machine]().run(ANSWER, str(questions)))
    here = answers(json.loads(questions.read_text(encoding="utf-8")))
    assert set(there) == set(here)
    for folder in here:
        compare = same if Path(folder).name == "any" else well_formed
        for number, (ours, theirs) in enumerate(zip(here[folder], there[folder], strict=True)):
            compare(ours, theirs, f"{folder}, question {number}")


def same(here: Any, there: Any, where: str) -> None:
    """As a golden check compares: labels and spans exactly, scores within 1e-4."""
    assert difference(here, there, 1e-4) is None, where


def well_formed(here: Any, there: Any, where: str) -> None:
    """The same labels in any order, or a span; and scores between 0 and 1."""
    assert {frozenset(row) for row in rows(here)} == {frozenset(row) for row in rows(there)}, where
    assert {row.get("label") for row in rows(here)} == {row.get("label") for row in rows(there)}
    assert all(0 <= score <= 1 for score in scores(there)), where


def rows(answer: Any) -> list[dict[str, Any]]:
    """An answer's entries: of a text's labels, or the one span."""
    while isinstance(answer, list) and isinstance(answer[0], list):
        (answer,) = answer
    return answer if isinstance(answer, list) else [answer]


def scores(answer: Any) -> list[float]:
    return [row["score"] for row in rows(answer)]

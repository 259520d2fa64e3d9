"""The examples of docs/python.md run, in their order, and what docs/migrate-from-deepsparse.md says
of arguments is so."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from onnxferry.pipelines import arguments
from onnxferry.pipelines.server_config import ENDPOINT, NOTHING, SERVER
from onnxferry.pipelines.tasks import GONE, TASKS
from tests import tiny
from tests.documents import code_blocks, read
from tests.pipelines import folders

MODELS = {"squad": "qa", "names": "tokens", "nli": "nli", "embed": "embed", "photos": "image"}


def test_the_examples_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, kind in MODELS.items():
        folders.folder(kind, tmp_path / "models" / name)
    tiny.text_classification(tmp_path / "models" / "mood")
    Image.new("RGB", (8, 8), (200, 0, 0)).save(tmp_path / "red.png")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for code in code_blocks(read("docs/python.md"), "python"):
        exec(code, names)  # noqa: S102 - the page's own code
    told = capsys.readouterr().out
    assert told.startswith("200 ")
    for line in (
        "Rebecca 6 13 8.0",
        "[['good', 'long'], ['bad', 'long']]",
        "PER dolly rebecca parton",
    ):
        assert line in told
    assert names["scores"].shape == (2, 3)
    shutil.rmtree(tmp_path / "models")


def test_the_migration_guide_names_every_argument_task_and_key() -> None:
    page = read("docs/migrate-from-deepsparse.md")
    known = {*arguments.COMMON, *arguments.GONE, *arguments.REFUSED, *TASKS, *ENDPOINT, *NOTHING}
    known |= {name for task in TASKS.values() for name in task.arguments}
    known |= {"yolo", "yolact", "open_pif_paf", "text_generation", "custom"} & set(GONE)
    known |= set(SERVER) - {"integration", "host", "port"}
    known -= {"show_progress", "add_middlewares"}
    assert {name for name in known if f"`{name}" not in page} == set()

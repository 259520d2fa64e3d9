"""The models of a DeepSparse Server's configuration as model directories: links to the files that
are there, and the model_spec.json that its task and arguments make."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

from onnxferry.scoring.manifest import MODEL_FILE, SPEC_FILE
from onnxferry.scoring.scorer import located
from onnxferry.targets.local.config import ModelConfig


def directories(models: Sequence[ModelConfig], parent: Path) -> list[tuple[str, Path]]:
    """Each model's name ("": its spec's) and directory, made in `parent` where a DeepSparse task is
    told. Raises ScoringError."""
    return [
        (model.name, _made(model, parent / str(i)) if model.task else model.path)
        for i, model in enumerate(models)
    ]


def _made(model: ModelConfig, folder: Path) -> Path:
    from onnxferry.pipelines.binding import bind

    bound = bind(model.task, model.path, model.arguments)
    where, graph = located(bound.path)
    folder.mkdir()
    for file in where.iterdir():
        if file.is_file() and file.name not in (SPEC_FILE, MODEL_FILE):
            _link(file, folder / file.name)
    _link(graph, folder / MODEL_FILE)
    (folder / SPEC_FILE).write_text(bound.spec.to_json(), encoding="utf-8")
    return folder


def _link(file: Path, to: Path) -> None:
    """A link, or a copy where links cannot be made. External weights must lie beside the graph that
    ONNX Runtime opens, so a hard link is tried first."""
    for make in (os.link, os.symlink, shutil.copyfile):
        try:
            make(file.resolve(), to)
        except OSError:
            continue
        return
    raise OSError(f"{file}: cannot be linked to {to}")

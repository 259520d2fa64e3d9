"""A model folder by its small files: what can be told of it before anything heavy is imported, and
before its weights are downloaded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onnxferry.scripts.prepare import hub_id
from onnxferry.scripts.prepare.options import HUB, HUGGINGFACE, Options
from onnxferry.scripts.prepare.sources.hub import model_files
from onnxferry.scripts.prepare.sources.hub.model_files import Listing
from onnxferry.scripts.prepare.sources.inspection.task_inference import CONFIG, infer_task
from onnxferry.scripts.prepare.sources.settings import sentence_transformers
from onnxferry.system.errors import UsageError
from onnxferry.system.text_files import read_object


@dataclass(frozen=True)
class SourceFolder:
    """`root`: the folder, of a hub model with its small files alone; `files`: all that it has, with
    their bytes, and `download`: how many of those are not here yet. `graph`: the .onnx file in it
    that is taken in the place of weights for PyTorch."""

    options: Options
    root: Path
    files: Listing
    graph: str | None = None
    download: int = 0

    @property
    def model(self) -> Path:
        """The folder of the transformers model, which sentence-transformers may keep below."""
        return sentence_transformers.model_folder(self.root)

    @property
    def config(self) -> Mapping[str, Any]:
        """The model's config.json; {} where it cannot be read, which is told elsewhere."""
        try:
            return read_object(self.model / CONFIG)
        except UsageError:
            return {}

    @property
    def task(self) -> str | None:
        """The task asked for, or the model's; None where it cannot be told."""
        try:
            return self.options.task or infer_task(self.config, self.root, self.options.adapter)
        except UsageError:
            return None

    @property
    def weights(self) -> list[str]:
        """The files of weights that are taken."""
        if self.graph:
            return model_files.beside(self.files, self.graph)
        where = self.model.relative_to(self.root).as_posix()
        return model_files.weights(self.files, ("" if where == "." else where,))

    @property
    def weight_bytes(self) -> int:
        return sum(self.files.get(path, 0) for path in self.weights)


def opened(options: Options) -> SourceFolder | None:
    """The folder of a model folder or of a hub model; None for a file or a module. Raises
    UsageError, PrepareError."""
    if options.kind == HUB:
        from onnxferry.scripts.prepare.sources.hub import snapshots

        found = snapshots.describe(hub_id.named(options.source), options.file)
        return SourceFolder(options, found.folder, found.files, found.graph, found.download)
    if options.kind != HUGGINGFACE:
        return None
    folder = Path(options.source)
    files = model_files.listing(folder)
    return SourceFolder(
        options, folder, files, model_files.onnx_file(files, options.file, str(folder))
    )

"""A source inspected before the tool-chain starts: a mistake costs seconds, not a download and an
export. All that is wrong is told at once."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from typing import Any

from onnxferry.scripts.prepare.options import ONNX, Options
from onnxferry.scripts.prepare.sources.inspection import (
    source_checks,
    source_folder,
    user_file_checks,
)
from onnxferry.scripts.prepare.sources.inspection.source_folder import SourceFolder
from onnxferry.scripts.prepare.sources.settings import labels
from onnxferry.system.errors import UsageError

_READ_ONNX = ("onnx", "onnx_ir")
_TOOLS = ("torch", "transformers", "peft", *_READ_ONNX)


@dataclass(frozen=True)
class Inspection:
    """What is known of a source; `folder` None: an .onnx file or a module."""

    options: Options
    folder: SourceFolder | None

    @property
    def task(self) -> str | None:
        return self.folder.task if self.folder else self.options.task

    @property
    def labels(self) -> tuple[str, ...]:
        """Those that answers will carry; () where they are not known yet."""
        named: Any = self.folder.config.get("id2label") if self.folder else None
        try:
            if self.task not in labels.CLASSIFIERS:
                return ()
            given = labels.read(self.options.labels, self.task)
            return given or labels.from_config({int(k): v for k, v in (named or {}).items()})
        except (UsageError, ValueError, AttributeError):
            return ()

    @property
    def notes(self) -> list[str]:
        """What may be wrong, and is the user's to judge."""
        return source_checks.notes(self.folder) if self.folder else []


def inspect(options: Options) -> Inspection:
    """What can be told. Raises UsageError with all that is wrong, and PrepareError where the hub
    does not answer."""
    _check_tools(options)
    found = Inspection(options, source_folder.opened(options))
    wrong = source_checks.mistakes(found.folder) if found.folder else []
    wrong += user_file_checks.mistakes(options, found.task, found.labels)
    if len(wrong) == 1:
        raise UsageError(wrong[0])
    if wrong:
        listed = "\n".join(f"- {sentence}" for sentence in wrong)
        raise UsageError(f"{len(wrong)} things are wrong:\n{listed}")
    return found


def _check_tools(options: Options) -> None:
    needed = _READ_ONNX if options.kind == ONNX else _TOOLS
    if missing := [name for name in needed if importlib.util.find_spec(name) is None]:
        need = "Preparing a model needs the extra 'export': pip install 'onnxferry[export,image]'"
        raise UsageError(f"No module named {', '.join(map(repr, missing))}. {need}")

"""What the flags of an action at a cloud say, and what follows from them: configuration and model
directory, each found once. What reads these is imported when it is asked for, since --help loads
this file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from onnxferry.system.errors import UsageError

if TYPE_CHECKING:
    from onnxferry.infra.config import DeployConfig

MODELS = Path("build") / "models"


@dataclass(frozen=True)
class Order:
    """The flags of every action at a cloud."""

    target: str
    model: Path | None
    out: Path
    python: str | None
    name: str | None
    file: Path
    settings: tuple[str, ...]

    @cached_property
    def config(self) -> DeployConfig:
        """What flags, environment and deploy.toml say together. Raises UsageError with all that is
        wrong."""
        from onnxferry.infra.config import load, settings_of

        flags = settings_of(self.settings, self.target)
        named = {"model.name": self.name} if self.name is not None else {}
        return load(self.target, self.file, {**flags, **named}, os.environ)

    @cached_property
    def folder(self) -> Path:
        """The model directory. Raises UsageError as `only_model` does when nothing names one."""
        return self.model or self.config.model.path or only_model()


def only_model() -> Path:
    """The one model directory below build/models. Raises UsageError when there is none, or more
    than one."""
    found = sorted(path.parent for path in MODELS.glob("*/model_spec.json"))
    if len(found) == 1:
        return found[0]
    if not found:
        raise UsageError(
            f"no model directory in {MODELS}; make one: python -m scripts.prepare, or give"
            " --model DIR"
        )
    raise UsageError(
        f"several model directories; choose one with --model: {', '.join(map(str, found))}"
    )

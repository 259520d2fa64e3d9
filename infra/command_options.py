"""What the flags of a command at a cloud say, and what follows from them. What reads these is
imported when it is asked for, since --help loads this file."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS, load

if TYPE_CHECKING:
    from onnxferry.infra.config import DeployConfig
    from onnxferry.scripts.package.layout import PackageLayout


@dataclass(frozen=True)
class CommandOptions:
    """The flags of every command at a cloud."""

    target: str
    model: Path | None
    out: Path
    python: str | None
    name: str | None
    file: Path
    settings: tuple[str, ...]

    @classmethod
    def without_model(cls, target: str, file: Path, settings: tuple[str, ...]) -> CommandOptions:
        """Of a command that is about no one endpoint."""
        return cls(target, None, Path("build"), None, "onnxferry-list", file, settings)

    @cached_property
    def config(self) -> DeployConfig:
        """What flags, environment and deploy.toml say. Raises UsageError with all mistakes."""
        from onnxferry.infra.config import load, settings_of

        flags = settings_of(self.settings, self.target)
        named = {"model.name": self.name} if self.name is not None else {}
        return load(self.target, self.file, {**flags, **named}, os.environ)

    @cached_property
    def folder(self) -> Path:
        """The model directory, which may not be there yet. Raises UsageError as `only_model`."""
        return self.model or self.config.model.folder()

    def prepared(self) -> Path:
        """The model directory, prepared now where [model] source has changed. Raises UsageError and
        PrepareError."""
        return self.model or self.config.model.prepared()

    @property
    def layout(self) -> PackageLayout:
        """Of the package, for the image that deploy.toml names."""
        from onnxferry.scripts.package import layout_of

        settings = getattr(self.config, self.target)
        return layout_of(self.target, getattr(settings, "package_image", ""))

    def connected(self, by: str = "connect") -> Any:
        """The target's cloud, for its endpoint; with `by` "jobs" its batch jobs, with "place" what
        all endpoints share. Raises UsageError where its library is missing."""
        target = TARGETS[self.target]
        name = "" if by == "place" else self.endpoint_name
        try:
            connect = load(getattr(target, by))
        except ModuleNotFoundError as e:
            remedy = f"pip install 'onnxferry[{target.extra}]'"
            raise UsageError(f"target {self.target} needs the library {e.name}: {remedy}") from e
        return connect(self.config, name)

    @property
    def endpoint_name(self) -> str:
        """As flag or deploy.toml say, or made of the model's name. Raises UsageError without
        any."""
        from onnxferry.scoring.errors import ModelError
        from onnxferry.scoring.manifest import ModelSpec
        from onnxferry.scripts.package.endpoint_name import endpoint_name

        if not self.config.model.name and not self.model and self.config.model.source:
            return endpoint_name(self.folder.resolve().name)
        try:
            return self.config.model.name or endpoint_name(ModelSpec.read(self.folder).name)
        except (ModelError, UsageError) as e:
            raise UsageError(f"{e}; or name the endpoint: --name, or name in [model]") from e

"""A target that does not exist: what its own folders would hold, and its row of the table."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from pydantic import BaseModel

from onnxferry.scripts.package import local as packaged
from onnxferry.scripts.package.layout import Entry, tree
from onnxferry.scripts.package.model import CheckedModel
from onnxferry.scripts.rehearse import local as rehearsed
from onnxferry.system.errors import RehearsalError
from onnxferry.targets import TARGETS, Target

SERVER = Path(__file__).parents[1] / "targets" / "local"  # in place of targets/moon/


def added(model: CheckedModel) -> list[Entry]:
    """Local's files."""
    return [*packaged.added(model), *tree(SERVER, "")]


LAYOUT = replace(packaged.LAYOUT, target="moon", added=added)


def check() -> None:
    """What the machine lacks."""
    raise RehearsalError("the moon's runtime needs a rocket")


RUNTIME = replace(rehearsed.RUNTIME, check=check)


class Moon(BaseModel):
    """The moon. No sign-in."""

    crater: str = "Tycho"


class MoonCloud:
    """As much of an endpoint as `logs` asks for."""

    def __init__(self, crater: str) -> None:
        self.crater = crater

    def logs(self, lines: int) -> str:
        """One line."""
        return f"served from {self.crater}"


def connect(config: object, name: str) -> MoonCloud:
    """The endpoint `name`."""
    return MoonCloud(config.moon.crater)  # type: ignore[attr-defined]


if __name__ == "__main__":
    here = "tests.imaginary_target"
    TARGETS["moon"] = Target(
        f"{here}:LAYOUT", f"{here}:RUNTIME", f"{here}:Moon", f"{here}:connect", "moon"
    )
    from onnxferry.cli import cli

    cli(sys.argv[1:])

"""From a model directory to a package that can be rehearsed here."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.markup import escape

from onnxferry.scripts.package import Package, package
from onnxferry.scripts.package.layout import PackageLayout
from onnxferry.system.console import err
from onnxferry.system.errors import RehearsalError
from onnxferry.system.pythons import find_python


def rehearsable(
    model: Path, layout: PackageLayout, out: Path, python: str | None = None
) -> Package:
    """The package to rehearse, of `with_stand_in`."""
    return with_stand_in(model, layout, out, python)[1]


def with_stand_in(
    model: Path, layout: PackageLayout, out: Path, python: str | None = None
) -> tuple[Package, Package]:
    """Build what the platform would be given below `out`, and return it with the package to
    rehearse: the same, or, below <out>/rehearsal/, one for a Python that is here. Raises
    RehearsalError if none is."""
    built = package(model, layout, out=out, python=python)
    if find_python(built.python):
        return built, built
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    pythons = sorted(layout.pythons, key=lambda version: (version != here, version))
    version = next(filter(find_python, pythons), None)
    if version is None:
        known = ", ".join(sorted(pythons))
        raise RehearsalError(
            f"{layout.target} runs Python {known}, and none of them is installed here"
        )
    err.print(
        f"[yellow]note[/yellow] {escape(str(built.path))} is for Python {built.python}, which is"
        f" not here: rehearsing a package built for Python {version}"
    )
    return built, package(model, layout, out=out / "rehearsal", python=version)

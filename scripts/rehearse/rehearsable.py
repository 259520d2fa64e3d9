"""From a model directory to a package that can be rehearsed on this machine."""

from __future__ import annotations

import sys
from pathlib import Path

from rich.markup import escape

from onnxferry.scripts.package import Package, layout_of, package
from onnxferry.scripts.rehearse.pythons import find_python
from onnxferry.system.console import err
from onnxferry.system.errors import RehearsalError


def rehearsable(model: Path, target: str, out: Path, python: str | None = None) -> Package:
    """Build what `target` would be given, as <out>/<target>/<name>/, and return the package to
    rehearse: that one, or where this machine lacks its Python, and after saying so, one for a
    Python that it has, below <out>/rehearsal/.

    Raises RehearsalError when the machine has none of the Pythons that the target runs.
    """
    built = package(model, target, out=out, python=python)
    if find_python(built.python):
        return built
    here = f"{sys.version_info.major}.{sys.version_info.minor}"
    pythons = sorted(layout_of(target).pythons, key=lambda version: (version != here, version))
    version = next(filter(find_python, pythons), None)
    if version is None:
        raise RehearsalError(
            f"{target} runs Python {', '.join(sorted(pythons))}, and this machine has none of them;"
            f" install python{built.python}"
        )
    err.print(
        f"[yellow]note[/yellow] {escape(str(built.path))} is for Python {built.python}, which this"
        f" machine has not: rehearsing a package built for Python {version}"
    )
    return package(model, target, out=out / "rehearsal", python=version)

"""One tiny model, packaged for a target and served by its real runtime for as long as a test module
needs it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from onnxferry.scoring import ModelSpec, load
from onnxferry.scripts.package import Package, package
from onnxferry.scripts.rehearse import Host, start
from onnxferry.scripts.rehearse.rehearsable import rehearsable
from tests import tiny
from tests.packages import quick, quiet

HERE = f"{sys.version_info.major}.{sys.version_info.minor}"
GOLDEN = tiny.golden({"inputs": "good day"}, [{"label": "good", "score": 0.7782682776451111}])
ANSWER = b'[{"label": "good", "score": 0.7782682776451111}]'


def built(target: str, folder: Path, image: str = "") -> Package:
    """The package of a tiny text classifier, for this Python if the target runs it."""
    model = tiny.text_classification(folder / "model", golden=GOLDEN)
    layout = quick(target, image)
    if HERE in layout.pythons:
        return package(model, layout, out=folder / "build", python=HERE, report=quiet)
    return rehearsable(model, layout, folder / "build")


@contextmanager
def serving(target: str, folder: Path) -> Iterator[Host]:
    with start(built(target, folder), report=quiet) as host:
        yield host


def prepared_tensors(folder: Path) -> Path:
    """tiny.tensors with the arrays in its spec, as prepare writes them."""
    runner: Any = load(tiny.tensors(folder)).task
    arrays = {"inputs": runner._runner.inputs, "outputs": runner._runner.outputs}
    return tiny.write_spec(folder, ModelSpec("tiny-tensors", "tensors", **arrays))

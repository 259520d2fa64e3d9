"""The models that are fuzzed: the tiny one of each task, and variants that take another way through
the core."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from onnx import TensorProto

from examples.custom_task.pack import pack
from onnxferry.scoring.tasks import TASKS
from tests import tiny

VARIANTS: dict[str, Callable[[Path], Path]] = {
    "text-classification, multi-label": lambda folder: tiny.text_classification(
        folder, "multi_label_classification"
    ),
    "feature-extraction, pooled": lambda folder: tiny.feature_extraction(
        folder, pooling="mean", normalize=True
    ),
    "tensors, strings": lambda folder: tiny.typed(folder, TensorProto.STRING, ["n"]),
    "a task of the user's own": lambda folder: pack(
        tiny.text_classification(folder / "text"), folder / "own"
    ),
}
NAMES = (*TASKS, *VARIANTS)


def make(name: str, folder: Path) -> Path:
    """The model directory of one of NAMES. Raises AttributeError where tests/tiny.py has no model
    for a task."""
    return (
        VARIANTS[name](folder)
        if name in VARIANTS
        else Path(getattr(tiny, name.replace("-", "_"))(folder))
    )

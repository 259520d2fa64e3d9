"""The inputs that ship with onnxferry, and that the packages which ask them are independent."""

from __future__ import annotations

import pytest

from onnxferry.scoring.tasks import TASKS
from onnxferry.scripts.datasets import built_in
from tests.test_architecture import files, modules

PACKAGES = ("prepare", "evaluate", "benchmark")


def test_the_built_in_inputs_are_of_known_tasks() -> None:
    assert "text-classification" in built_in.tasks()
    assert set(built_in.tasks()) <= set(TASKS)
    for task in built_in.tasks():
        assert len(built_in.payloads(task)) >= 10
        assert all(payload["inputs"] for payload in built_in.payloads(task))
    assert built_in.payloads("tensors") == []


@pytest.mark.parametrize("package", PACKAGES)
def test_prepare_evaluate_and_benchmark_do_not_import_each_other(package: str) -> None:
    """But for prepare's tuning, which is by the benchmark's scenarios."""
    others = tuple(f"onnxferry.scripts.{name}" for name in PACKAGES if name != package)
    for path in files(f"scripts/{package}"):
        for name in modules(path) if path.parent.name != "tuning" else ():
            assert not f"{name}.".startswith(tuple(f"{other}." for other in others)), path

"""What `from onnxferry import ...` gives, and that it costs nothing before."""

from __future__ import annotations

import subprocess
import sys

import pytest

import onnxferry


@pytest.mark.parametrize("name", onnxferry.__all__)
def test_each_public_name_can_be_imported(name: str) -> None:
    assert getattr(onnxferry, name).__module__.startswith("onnxferry.")


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Pipelines'"):
        _ = onnxferry.Pipelines


def test_importing_onnxferry_loads_no_engine() -> None:
    code = "import onnxferry, sys; print('onnxruntime' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]

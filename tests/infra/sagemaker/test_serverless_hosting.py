"""A package in SageMaker's own model server, within the limits of a serverless container."""

from __future__ import annotations

from pathlib import Path

import pytest

from onnxferry.scripts.package import package
from onnxferry.scripts.rehearse import Conditions, record, rehearse
from onnxferry.scripts.rehearse.limits import refusal
from onnxferry.system.errors import RehearsalError
from tests.infra.sagemaker.conftest import model
from tests.infra.sagemaker.test_command_line import PYTHON


@pytest.mark.host
@pytest.mark.series
def test_sagemakers_server_as_a_serverless_container(sagemaker_ready: None, tmp_path: Path) -> None:
    """The real one, with a package, in the least memory there is; and in too little."""
    built = package(model(tmp_path / "m", 30), "sagemaker", out=tmp_path / "out", python=PYTHON)
    done = rehearse(built, repeats=2, conditions=Conditions(memory_mb=1024, read_only=True))
    assert (done.memory_mb, done.memory_mib < 1024) == (1024, True)
    record.write(built, done)
    kept = record.read(built)
    assert kept
    assert (kept.memory_mb, kept.read_only) == (1024, not refusal())
    with pytest.raises(RehearsalError, match=r"limit (of|is) 100 MB"):
        rehearse(built, repeats=2, conditions=Conditions(memory_mb=100))

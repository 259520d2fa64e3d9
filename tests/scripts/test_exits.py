"""How command lines end: by a message and an exit code, and on SIGTERM with nothing left behind."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from onnxferry.system.errors import FerryError, PackageError, UsageError
from onnxferry.system.exits import cli_errors
from onnxferry.system.signals import interruptible
from tests import tiny

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [
        (UsageError("--out: wrong"), 2, "error: --out: wrong"),
        (PackageError("too large"), 1, "error: too large"),
        (
            PermissionError(errno.EACCES, "Permission denied", "/x/build"),
            1,
            "error: /x/build: Permission denied; give",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            1,
            "error: No space left on device; give",
        ),
    ],
)
def test_a_known_failure_is_its_message(
    error: FerryError | OSError, code: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as raised, cli_errors():
        raise error
    assert raised.value.code == code
    assert capsys.readouterr().err.startswith(says)


@pytest.mark.parametrize(
    "error", [RuntimeError("defect"), OSError("a socket's"), KeyboardInterrupt()]
)
def test_a_defect_keeps_its_traceback(error: BaseException) -> None:
    with pytest.raises(type(error)), cli_errors():
        raise error


def test_sigterm_unwinds_as_ctrl_c_does() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as raised, interruptible():
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(5)
    assert raised.value.code == 128 + signal.SIGTERM
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_out_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    model = tiny.image_classification(tmp_path / "model")
    command = [sys.executable, "deploy.py", "package", "--target", "azureml", "--model", str(model)]
    command += ["--out", str(tmp_path / "file")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"error: {tmp_path / 'file'}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
def test_packaging_interrupted_leaves_nothing(tmp_path: Path, number: signal.Signals) -> None:
    model = tiny.image_classification(tmp_path / "model")
    with (model / "model.onnx.weights").open("wb") as weights:
        weights.truncate(3_000_000_000)  # what it packs for seconds
    out = tmp_path / "out"
    command = [
        sys.executable,
        "deploy.py",
        "package",
        "--target",
        "sagemaker",
        "--model",
        str(model),
        "--out",
        str(out),
    ]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    while not list(out.glob("sagemaker/tiny-image/.partial-*/model.tar.gz")):
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode != 0
    assert list((out / "sagemaker" / "tiny-image").iterdir()) == []
    assert "Traceback" not in said

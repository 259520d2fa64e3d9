"""The session's door: what importing it does, and does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import tiny

ROOT = Path(__file__).parents[2]


def test_onnxruntime_sends_no_telemetry(tmp_path: Path) -> None:
    """Its telemetry would leave a session file in the temporary folder before anything is sent."""
    temp = tmp_path / "temp"
    temp.mkdir()
    model = tiny.image_classification(tmp_path / "model")
    own = {"PATH": os.environ["PATH"], "TMPDIR": str(temp), "HOME": str(temp)}  # no CI, which turns it off as well
    code = "import sys, scoring; scoring.load(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(model)], cwd=ROOT, env=own, check=True)
    assert list(temp.iterdir()) == []

"""The session's door: what importing it does, and does not."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tiny

ROOT = Path(__file__).parents[2]


def test_onnxruntime_sends_no_telemetry(tmp_path: Path) -> None:
    """Its telemetry would leave a session file in the temporary folder before anything is sent."""
    temp = tmp_path / "temp"
    temp.mkdir()
    model = tiny.image_classification(tmp_path / "model")
    # no CI, which turns it off as well
    own = {"PATH": os.environ["PATH"], "TMPDIR": str(temp), "HOME": str(temp)}
    code = "import sys, scoring; scoring.load(sys.argv[1])"
    subprocess.run([sys.executable, "-c", code, str(model)], cwd=ROOT, env=own, check=True)
    assert list(temp.iterdir()) == []


FORKING = """
import os, sys
from pathlib import Path
import numpy as np
from onnxferry.scoring.engine import Session
from onnxferry.scoring.engine_options import EngineOptions
session = Session(Path(sys.argv[1]), EngineOptions(threads=3))
feeds = {"x": np.ones((600, 300), np.float32)}
before = session.run(feeds)[0]
child = os.fork()
if not child:
    sys.exit(0 if np.array_equal(session.run(feeds)[0], before) else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_process_that_was_forked_after_the_load_answers_and_ends(tmp_path: Path) -> None:
    """As gunicorn's workers with --preload; the threads of the loaded session stay behind in the
    parent."""
    model = tiny.product_graph(tmp_path / "model.onnx")
    run = [sys.executable, "-W", "ignore", "-c", FORKING, str(model)]
    assert subprocess.run(run, cwd=ROOT, timeout=60, check=False).returncode == 0

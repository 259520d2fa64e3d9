"""The session's door: what importing it does, and whose threads do a run."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from onnxferry.scoring import cpu
from onnxferry.scoring.engine import Array, Session
from onnxferry.scoring.engine_options import EngineOptions
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
session._own_run.acquire()  # as by a run at the moment of the fork
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


def rows(count: int) -> dict[str, Array]:
    """For tiny.product_graph, so large that threads share them."""
    return {"x": np.random.default_rng(count).normal(size=(count, 300)).astype(np.float32)}


def aside(session: Session, work: Callable[[], object]) -> None:
    """Do `work` while another's run goes on."""
    with session._own_run:
        work()


@pytest.mark.parametrize("threads", [2, 3])
def test_runs_at_the_same_time_answer_as_alone(tmp_path: Path, threads: int) -> None:
    session = Session(tiny.product_graph(tmp_path / "model.onnx"), EngineOptions(threads=threads))
    sizes = [*range(100, 700, 50)] * 5
    alone = {size: session.run(rows(size))[0].tobytes() for size in set(sizes)}
    with ThreadPoolExecutor(6) as pool:
        found = pool.map(lambda size: session.run(rows(size))[0].tobytes(), sizes)
        assert list(found) == [alone[size] for size in sizes]


def test_a_run_by_the_sessions_own_thread_fails_as_any(tmp_path: Path) -> None:
    session = Session(tiny.product_graph(tmp_path / "model.onnx"), EngineOptions(threads=2))
    wrong = {"x": np.ones((2, 2), np.float32)}
    with pytest.raises(Exception, match="INVALID_ARGUMENT") as own:
        session.run(wrong)
    with pytest.raises(Exception, match="INVALID_ARGUMENT") as other:
        aside(session, lambda: session.run(wrong))
    assert (type(other.value), str(other.value)) == (type(own.value), str(own.value))
    expected = session.run(rows(300))[0].tobytes()
    aside(session, lambda: session.run(rows(300))[0].tobytes() == expected or pytest.fail())


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity") or cpu.available() < 2, reason="places")
def test_the_threads_that_help_a_run_are_on_other_cpus(tmp_path: Path) -> None:
    """Where there are CPUs enough; elsewhere they stay where the system has them."""
    model, allowed = tiny.product_graph(tmp_path / "model.onnx"), os.sched_getaffinity(0)
    helped = Session(model, EngineOptions(threads=2))
    crowded = Session(model, EngineOptions(threads=len(allowed) + 1))
    (helper,) = helped._threads._ids
    try:
        for here in sorted(allowed)[:2]:
            os.sched_setaffinity(0, {here})
            for session in (helped, crowded):
                session.run(rows(100))
            assert os.sched_getaffinity(helper) == allowed - {here}
    finally:
        os.sched_setaffinity(0, allowed)
    assert all(os.sched_getaffinity(thread) == allowed for thread in crowded._threads._ids)

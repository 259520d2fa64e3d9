"""Workers that lack a library, print, die, or are left alone: each is told in clear words, and none
stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest
from click.testing import CliRunner

from onnxferry.scripts.benchmark.__main__ import command as main
from onnxferry.scripts.benchmark.process import EngineProcess, LibraryMissing
from onnxferry.scripts.benchmark.specs import EngineSpec, parse
from onnxferry.system.errors import BenchmarkError
from tests import tiny
from tests.eventually import eventually

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def spec(tmp_path: Path) -> EngineSpec:
    return parse([f"onnxferry@{tiny.text_classification(tmp_path / 'model')}"])[0]


@pytest.fixture
def poor(tmp_path: Path) -> Path:
    """An interpreter without any installed library."""
    path = tmp_path / "python"
    path.write_text(f'#!/bin/sh\nexec "{sys.executable}" -S "$@"\n')
    path.chmod(0o755)
    return path


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_library_that_is_absent_is_said_and_its_engine_left_out(
    spec: EngineSpec, poor: Path
) -> None:
    asked = [
        "-e",
        f"onnxferry@{spec.folder}",
        "-e",
        f"onnxferry:name=lacking@{spec.folder}",
        "--text",
        "good",
    ]
    result = CliRunner().invoke(main, [*asked, "--rounds", "1", "--python", f"lacking={poor}"])
    assert result.exit_code == 0
    assert "skipped lacking: No module named 'numpy'" in result.stderr
    assert f"--python {spec.kind}=PATH" in result.stderr
    assert "onnxferry" in result.stdout and "lacking" not in result.stdout


@pytest.mark.parametrize("scenario", ["sync", "cold"])
def test_an_only_engine_that_is_absent_is_an_error(
    spec: EngineSpec, poor: Path, scenario: str
) -> None:
    asked = [
        "-e",
        f"onnxferry@{spec.folder}",
        "--text",
        "good",
        "-s",
        scenario,
        "--python",
        f"onnxferry={poor}",
    ]
    result = CliRunner().invoke(main, asked)
    assert result.exit_code == 2
    assert (
        "No module named" in result.stderr and "none of the engines is installed" in result.stderr
    )


def test_what_a_library_prints_is_no_reply(spec: EngineSpec, tmp_path: Path) -> None:
    noisy = tmp_path / "noisy"
    noisy.mkdir()
    (noisy / "numpy.py").write_text(
        'import os\nprint("{}")\nos.write(1, b"{}\\n")\nraise ImportError("no numpy here")'
    )
    loud = EngineSpec("onnxferry", spec.folder, "loud", environment={"PYTHONPATH": str(noisy)})
    with EngineProcess(loud) as worker, pytest.raises(LibraryMissing, match="loud: no numpy here"):
        worker.load("text-classification")


def test_what_failed_first_is_told_and_not_who_was_made_to_look_absent(
    spec: EngineSpec, tmp_path: Path
) -> None:
    libraries = tmp_path / "site-packages"
    libraries.mkdir()
    (libraries / "numpy.py").write_text(
        "try:\n    import arrows\nexcept ImportError:\n    raise ImportError('pip install numpy')"
    )
    (libraries / "arrows.py").write_text(
        "try:\n    object().gone\nexcept AttributeError as e:\n    raise ImportError('a') from e"
    )
    broken = EngineSpec("onnxferry", spec.folder, "it", environment={"PYTHONPATH": str(libraries)})
    says = r"it: AttributeError: 'object' object has no attribute 'gone' \(while arrows.py was"
    with EngineProcess(broken) as worker, pytest.raises(LibraryMissing, match=says):
        worker.load("text-classification")


def test_what_an_engine_raises_is_told_with_the_end_of_what_it_said(spec: EngineSpec) -> None:
    with EngineProcess(spec) as worker:
        worker.load("text-classification")
        with pytest.raises(
            BenchmarkError,
            match=r"(?s)onnxferry failed to answers: RuntimeError: status 4.*Traceback",
        ):
            worker.ask("answers", requests=[[{"not": "a text"}]])


def test_a_worker_that_dies_is_told_and_leaves_nothing(spec: EngineSpec, tmp_path: Path) -> None:
    dying = tmp_path / "dying"
    dying.write_text("#!/bin/sh\nread line\necho the disk is on fire >&2\nexit 3\n")
    dying.chmod(0o755)
    with EngineProcess(spec, str(dying)) as worker:
        own = Path(worker.temporary)
        assert own.is_dir()
        with pytest.raises(
            BenchmarkError, match=r"(?s)onnxferry: .*exit code 3.*the disk is on fire"
        ):
            worker.load("text-classification")
    assert gone(worker.pid) and not own.exists()
    with EngineProcess(spec) as worker:
        os.kill(worker.pid, signal.SIGKILL)
        with pytest.raises(BenchmarkError, match="signal SIGKILL"):
            worker.load("text-classification")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_however_it_ends_no_worker_is_left(spec: EngineSpec, number: signal.Signals) -> None:
    command = [sys.executable, "-m", "scripts.benchmark", "-e", f"onnxferry@{spec.folder}"]
    with subprocess.Popen(
        [*command, "--text", "good", "--time", "120"],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        us = psutil.Process(process.pid)
        assert eventually(lambda: bool(us.children()))
        workers = us.children(recursive=True)
        assert eventually(
            lambda: "onnxferry-benchmark-" in workers[0].environ().get("TMPDIR", "")
        )  # it has become what it was started for
        own = Path(workers[0].environ()["TMPDIR"])
        process.send_signal(number)
        assert process.wait(60) != 0
    for worker in workers:
        assert eventually(lambda worker=worker: gone(worker.pid))  # type: ignore[misc]
    assert not own.exists()

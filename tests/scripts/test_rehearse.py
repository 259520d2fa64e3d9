"""Rehearsals as a user sees them: on the real runtimes, with good packages and bad ones."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from onnxferry.scoring import Request, cpu
from onnxferry.scoring.manifest import SPEC_FILE, Golden, ModelSpec
from onnxferry.scripts.package import Package, package
from onnxferry.scripts.rehearse import (
    Conditions,
    azureml,
    container,
    find_python,
    record,
    rehearse,
    sagemaker,
    start,
)
from onnxferry.scripts.rehearse.network import refusal
from onnxferry.scripts.rehearse.start import runtime_of
from onnxferry.system.errors import RehearsalError
from onnxferry.system.hashes import sha256
from onnxferry.targets import TARGETS
from tests import tiny
from tests.packages import quick, quiet
from tests.targets.served import ANSWER, GOLDEN, HERE, built

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    return {target: built(target, tmp_path_factory.mktemp(target)) for target in TARGETS}


@pytest.fixture
def temp(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A temporary folder of its own, to see what a rehearsal leaves there. Its name is short, as
    the system's is: the model server makes a socket in it, whose whole path may have 107 bytes.
    (pytest makes its own, tmp_path, before.)"""
    with tempfile.TemporaryDirectory() as folder:
        monkeypatch.setenv("TMPDIR", folder)
        monkeypatch.setattr("tempfile.tempdir", folder)
        yield Path(folder)


def rebuilt(package: Package, folder: Path, file: str, text: str) -> Package:
    """The SageMaker package with one file replaced."""
    with tarfile.open(package.path) as tar:
        tar.extractall(folder / "files")  # noqa: S202
    (folder / "files" / file).write_text(text)
    path = folder / "model.tar.gz"
    with tarfile.open(path, "w:gz", compresslevel=0) as tar:
        for entry in sorted((folder / "files").iterdir()):
            tar.add(entry, entry.name)
    return replace(package, path=path)


def leftovers(temp: Path) -> list[str]:
    return [path.name for path in temp.iterdir() if path.name.startswith("onnxferry")]


# MLflow's wire is its own
ANSWERS = {"mlflow": b'{"predictions": %s}' % ANSWER}


@pytest.mark.host
@pytest.mark.parametrize(
    ("target", "image"), [*((name, "") for name in TARGETS), ("mlflow", "sagemaker")]
)
def test_a_good_package_proves_itself(
    target: str, image: str, packages: dict[str, Package], temp: Path
) -> None:
    if target == "container" and container.refusal():
        pytest.skip("no namespaces for users here")
    conditions = Conditions(image=image)
    extra = [Request(b"{}"), Request(b"a good day", "text/plain")]
    done = rehearse(packages[target], extra, 5, conditions, report=quiet)
    assert (done.target, done.runtime) == (target, runtime_of(target, image).title)
    assert done.answer == ANSWERS.get(target, ANSWER)
    assert [answer.status for answer in done.extra] == [400, 200]
    assert b'"good"' in done.extra[1].body
    assert done.network.startswith("NOT cut off" if refusal() else "cut off")
    assert 0 < done.latency_p50_ms <= done.latency_p95_ms
    assert done.start_seconds > 0
    assert done.cpu_ms >= 0
    assert done.memory_mib > 10
    assert leftovers(temp) == []
    assert not [p for p in psutil.process_iter() if str(temp) in _told(p)]


ORIGINS = """
import sys
class Origins:
    accepts = ("application/json",)
    def __init__(self, spec, session, folder): pass
    def answer(self, payload):
        return {name: sys.modules[name].__file__ for name in payload["inputs"]}
"""


@pytest.mark.host
@pytest.mark.parametrize(("target", "image"), [("sagemaker", ""), ("azureml", "prebuilt")])
def test_the_packages_libraries_come_before_those_of_the_image(
    target: str, image: str, tmp_path: Path
) -> None:
    model = tiny.text_classification(tmp_path / "model")
    (model / "origins.py").write_text(ORIGINS)
    files = {"origins.py": sha256(model / "origins.py")}
    tiny.write_spec(model, ModelSpec("origins", "file:origins.py:Origins", files=files))
    built = package(model, quick(target, image), out=tmp_path, python=HERE, report=quiet)

    with start(built, report=quiet) as host:
        answer = host.send(Request(b'{"inputs": ["numpy", "onnxruntime"]}'))

    origins = json.loads(answer.body)
    assert origins["numpy"].endswith("/code/numpy/__init__.py")
    assert origins["onnxruntime"].endswith("/code/onnxruntime/__init__.py")


@pytest.mark.host
def test_azureml_rehearses_the_same_package_for_batch_jobs(
    packages: dict[str, Package], tmp_path: Path
) -> None:
    """Its figures are not kept for what is reckoned of endpoints."""
    built = packages["azureml"]
    request = tmp_path / "a.json"
    request.write_bytes(b'{"inputs": "bad day"}')
    command = ["-m", "onnxferry", "rehearse", str(built.path), "--image", "batch"]
    options = ["--input", str(request), "--repeats", "2", "--output", "json"]

    done = subprocess.run(
        [sys.executable, *command, *options], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    row = {"file": "request.json", "row": 0, "answer": json.loads(ANSWER), "error": None}
    assert json.loads(told["answer"]) == row
    (sent,) = told["inputs"]
    assert json.loads(sent["answer"])["answer"][0]["label"] == "bad"
    assert told["runtime"] == "a program in the place of AzureML's for batch jobs"
    assert not (built.path.parent / record.FILE).exists()


@pytest.mark.host
def test_a_batch_script_that_leaves_out_a_row_is_shown_with_what_it_gave(
    packages: dict[str, Package], tmp_path: Path
) -> None:
    folder = shutil.copytree(packages["azureml"].path, tmp_path / "package")
    script = folder / "code" / "batch.py"
    answered = "return [line for line in _run(mini_batch) if '\"error\": null' in line]"
    body = script.read_text().replace("def run(", "def _run(")
    script.write_text(f"{body}\n\ndef run(mini_batch):\n    {answered}\n")
    package = replace(packages["azureml"], path=folder)

    with pytest.raises(RehearsalError, match=r"expected rows \[0, 1, 2\] of a file"):
        rehearse(package, conditions=Conditions(image="batch"), repeats=2, report=quiet)


@pytest.mark.host
def test_another_answer_than_a_golden_one_is_an_error(
    packages: dict[str, Package], tmp_path: Path
) -> None:
    """Also than that of a golden request after the first. Both CPUs are told."""
    folder = shutil.copytree(packages["azureml"].path, tmp_path / "package")
    answer = [{"label": "bad", "score": 0.7782682776451111}]
    wrong = Golden(GOLDEN.request, answer, "second.json", cpu="arm64")
    spec = ModelSpec.read(folder / "model")
    both = replace(spec, golden=replace(GOLDEN, others=(wrong,)))
    (folder / "model" / SPEC_FILE).write_text(both.to_json())
    expected = r"second.json differs.* answer\[0\].label: expected \"bad\", got \"good\""
    with pytest.raises(RehearsalError, match=expected) as raised:
        rehearse(replace(packages["azureml"], path=folder), report=quiet)
    assert ANSWER.decode() in str(raised.value)
    answered = cpu.kind() or "unknown"
    assert f"CPU kind: prepared on arm64, answered on {answered}" in str(raised.value)


@pytest.mark.host
def test_a_model_that_does_not_load_is_shown_with_the_log(
    packages: dict[str, Package], tmp_path: Path
) -> None:
    """SageMaker's /ping is 200 all the same: only the golden request finds it."""
    package = rebuilt(packages["sagemaker"], tmp_path, "model.onnx", "not a graph")
    with pytest.raises(RehearsalError, match="refused with status 400") as raised:
        rehearse(package, report=quiet)
    assert "model.onnx: onnxruntime" in str(raised.value)


@pytest.mark.host
def test_code_that_does_not_import_is_shown_with_the_log(
    packages: dict[str, Package], tmp_path: Path
) -> None:
    folder = shutil.copytree(packages["azureml"].path, tmp_path / "package")
    (folder / "code" / "score.py").write_text("import no_such_module")
    with pytest.raises(
        RehearsalError, match=r"ended with exit code [13] before it was ready"
    ) as raised:
        rehearse(replace(packages["azureml"], path=folder), report=quiet)
    assert "No module named 'no_such_module'" in str(raised.value)


@pytest.mark.host
def test_it_does_not_wait_for_ever(
    packages: dict[str, Package], tmp_path: Path, temp: Path
) -> None:
    folder = shutil.copytree(packages["azureml"].path, tmp_path / "package")
    (folder / "code" / "score.py").write_text("import time\ntime.sleep(600)")
    package = replace(packages["azureml"], path=folder)
    with (
        pytest.raises(RehearsalError, match="not ready within 3 s"),
        start(package, runtime=replace(azureml.RUNTIME, limit=3), report=quiet),
    ):
        pass
    assert leftovers(temp) == []


@pytest.mark.host
def test_two_sagemaker_servers_side_by_side(packages: dict[str, Package]) -> None:
    with (
        start(packages["sagemaker"], report=quiet) as one,
        start(packages["sagemaker"], report=quiet) as two,
    ):
        assert one.url != two.url
        assert one.send(GOLDEN.request).body == two.send(GOLDEN.request).body == ANSWER


@pytest.mark.host
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "sigterm"])
@pytest.mark.parametrize("phase", ["wait for", "send the golden request"])
def test_interrupted_it_leaves_nothing(
    packages: dict[str, Package], temp: Path, tmp_path: Path, phase: str, number: signal.Signals
) -> None:
    code = (
        "import pickle, sys; from contextlib import contextmanager; from pathlib import Path\n"
        "from onnxferry.scripts.package import read\n"
        "from onnxferry.scripts.rehearse import rehearse\n"
        "@contextmanager\n"
        "def report(title): print(title, flush=True); yield\n"
        f"rehearse(read(Path({str(packages['sagemaker'].path)!r})), repeats=10**6, report=report)"
    )
    log = tmp_path / "log"
    with log.open("w") as sink:
        process = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=sink, stderr=sink)
    try:
        while phase not in log.read_text():
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
        time.sleep(0.3)
        process.send_signal(number)
        process.wait(timeout=60)
    finally:
        process.kill()
    assert leftovers(temp) == []
    assert not [p for p in psutil.process_iter() if str(temp) in _told(p)]


def _told(process: psutil.Process) -> str:
    """A process's command and temporary folder, by which those of a rehearsal are known."""
    try:
        return " ".join(process.cmdline()) + str(process.environ().get("TMPDIR"))
    except psutil.Error:
        return ""


@pytest.mark.parametrize("home", [{}, {"JAVA_HOME": "/none"}])
def test_missing_java_is_said_before_anything_is_made(
    home: dict[str, str], temp: Path, tmp_path: Path
) -> None:
    package = Package("sagemaker", "tiny", tmp_path / "model.tar.gz", "0" * 64, 0, HERE, ())
    environ = {"PATH": str(tmp_path), **home}
    runtime = replace(sagemaker.RUNTIME, check=lambda: sagemaker.check_java(environ))
    with (
        pytest.raises(RehearsalError, match="needs Java"),
        start(package, runtime=runtime, cache=tmp_path / "cache", report=quiet),
    ):
        pass
    assert not (tmp_path / "cache").exists()
    assert leftovers(temp) == []


def test_a_python_that_is_not_here_is_named(tmp_path: Path) -> None:
    package = Package("functions", "tiny", tmp_path / "function.zip", "0" * 64, 0, "3.98", ())
    assert find_python("3.98") is None
    with (
        pytest.raises(RehearsalError, match=r"for Python 3\.98.*--target functions --python"),
        start(package),
    ):
        pass


@pytest.mark.host
def test_the_command_line_prints_json(packages: dict[str, Package], tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"inputs": "awful"}')
    command = [
        sys.executable,
        "-m",
        "scripts.rehearse",
        str(packages["functions"].path),
        "--repeats",
        "2",
    ]
    command += ["--input", str(tmp_path / "bad.json"), "--output", "json"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=True, env=dict(os.environ)
    )
    printed = json.loads(done.stdout)
    assert printed["answer"] == ANSWER.decode()
    assert list(printed["phases"]) == ["healthy", "imports", "model", "first_answer"]
    assert all(printed["phases"].values())
    assert json.loads(printed["inputs"][0]["answer"])[0]["label"] == "bad"
    assert "send the golden request" in done.stderr
    kept = record.read(packages["functions"])
    assert kept
    assert kept.sha256 == packages["functions"].sha256
    assert kept.latency_p50_ms == pytest.approx(printed["latency_p50_ms"], abs=0.001)
    assert kept.cpu_ms == pytest.approx(printed["cpu_ms"], abs=0.001)

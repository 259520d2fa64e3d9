"""The package under MLflow 2 as under 3, in MLflow's own environments, and in Spark, 3.5 and 4."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from onnxferry.scoring import ModelSpec
from onnxferry.scripts.package import Package, package
from onnxferry.scripts.rehearse import start
from onnxferry.scripts.rehearse.environments import environment
from onnxferry.scripts.rehearse.runtime import Install
from onnxferry.scripts.rehearse.start import runtime_of
from onnxferry.system.cache import cache_folder
from tests import mlflow_two, tiny
from tests.packages import quiet
from tests.targets.served import GOLDEN, HERE, built

pytestmark = pytest.mark.mlflow2
ROOT = Path(__file__).parents[2]
SAMPLE = [{"label": "good", "score": 0.7782682776451111}]
SAVE = """
import sys, mlflow.pyfunc
from mlflow.models import Model
made, folder = sys.argv[1:]
known = Model.load(made)
mlflow.pyfunc.save_model(
    folder, python_model=made + "/model.py", artifacts={"model": made + "/artifacts/model"},
    code_paths=[made + "/code/onnxferry"], conda_env=made + "/conda.yaml",
    signature=known.signature, input_example=known.load_input_example(made),
)
"""
LOAD = """
import sys, json, mlflow.pyfunc
model = mlflow.pyfunc.load_model(sys.argv[1])
print(json.dumps(model.predict({"text": "good day"}).to_dict("records")))
"""
PYTHONS: dict[str, Callable[[], Path]] = {"2": mlflow_two.python, "3": lambda: Path(sys.executable)}


def run(folder: Path, python: Path, *words: str | Path, **more: str) -> str:
    """What a program prints in `folder`, where MLflow 2 leaves its own; one that fails shows all
    that it printed."""
    env = {**os.environ, "MLFLOW_DISABLE_TELEMETRY": "true", "PYTHONPATH": str(ROOT), **more}
    command = [str(python), *map(str, words)]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


def last_line(printed: str) -> Any:
    return json.loads(printed.strip().splitlines()[-1])


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return built("mlflow", tmp_path_factory.mktemp("mlflow"))


def test_the_adapters_tests_pass_under_mlflow_2(tmp_path: Path) -> None:
    files = [
        ROOT / "tests" / name
        for name in ("targets/test_mlflow.py", "scripts/test_package_mlflow.py")
    ]
    words = ("-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", ROOT)
    run(tmp_path, mlflow_two.python(), *words, *files)


@pytest.mark.parametrize(("saves", "loads"), [("2", "3"), ("3", "2")])
def test_one_mlflow_loads_what_the_other_saved(
    text: Package, tmp_path: Path, saves: str, loads: str
) -> None:
    run(tmp_path, PYTHONS[saves](), "-c", SAVE, text.path, tmp_path / "model")
    assert last_line(run(tmp_path, PYTHONS[loads](), "-c", LOAD, tmp_path / "model")) == SAMPLE


def test_mlflow_2_serves_it(text: Package) -> None:
    runtime = runtime_of("mlflow")
    two = replace(runtime, installs=lambda unpacked, python: (mlflow_two.install(),))
    with start(text, runtime=two, report=quiet) as host:
        reply = host.send(runtime.wire.request(ModelSpec.read(host.model_dir), GOLDEN.request))
        refused = host.send(replace(GOLDEN.request, body=b'{"xyzzy": '))
    assert json.loads(reply.body) == {"predictions": SAMPLE}
    assert (refused.status, json.loads(refused.body)["error"]["code"]) == (400, "invalid_body")
    assert b"xyzzy" not in refused.body


PYENV = """#!/bin/sh
if [ "$2" = --list ]; then echo "  {version}"; exit; fi
bin="$PYENV_ROOT/versions/{version}/bin"
mkdir -p "$bin"
printf '#!/bin/sh\\nexec "{base}" "$@"\\n' > "$bin/python"
chmod +x "$bin/python"
"""


def pyenv(folder: Path) -> dict[str, str]:
    """A pyenv whose newest Python is this one."""
    version = ".".join(map(str, sys.version_info[:3]))
    base = Path(getattr(sys, "_base_executable", sys.executable)).resolve()
    folder.mkdir()
    (folder / "pyenv").write_text(PYENV.format(version=version, base=base))
    (folder / "pyenv").chmod(0o755)
    return {"PATH": f"{folder}{os.pathsep}{os.environ['PATH']}"}


def uv(folder: Path) -> dict[str, str]:
    made = environment("uv", Path(sys.executable), (Install(("uv",)),), cache_folder(), quiet)
    path = f"{made / 'bin'}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "UV_NATIVE_TLS": "true", "UV_PYTHON_DOWNLOADS": "never"}


@pytest.mark.parametrize(("manager", "found"), [("virtualenv", pyenv), ("uv", uv)])
def test_mlflow_makes_its_environment(
    text: Package, tmp_path: Path, manager: str, found: Callable[[Path], dict[str, str]]
) -> None:
    example = text.path / "serving_input_example.json"
    words: tuple[Any, ...] = (
        "-m",
        "mlflow",
        "models",
        "predict",
        "-m",
        text.path,
        "-i",
        example,
        "-t",
        "json",
    )
    words += ("--env-manager", manager)
    printed = run(tmp_path, Path(sys.executable), *words, **found(tmp_path / "tools"))
    assert last_line(printed) == {"predictions": SAMPLE}


@pytest.mark.parametrize("version", PYTHONS)
def test_spark_scores_by_it(version: str, tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    made = package(model, "mlflow", out=tmp_path, python=HERE, report=quiet).path
    given = last_line(run(tmp_path, PYTHONS[version](), "-m", "tests.targets.spark_udf", made))

    answers = [row["answer"] for row in given["columns"]]
    assert answers == ["1946", "1946", "dolly parton", "dolly parton"]
    assert given["struct"] == given["columns"]
    assert given["columns"][0]["end"] == 22
    assert [len(row["answers"]) for row in given["params"]] == [2] * 4
    bad, good = given["errors"]
    assert (good["answer"], good["error"], bad["start"]) == ("dolly parton", "None", None)
    assert bad["error"].startswith("missing_field: ")

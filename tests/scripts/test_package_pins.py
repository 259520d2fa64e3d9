"""pins.txt: exact versions, chosen for the host's Python, and all that an installation would bring
in."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from onnxferry.scripts.package import (
    azureml,
    azureml_batch,
    azureml_score,
    conda,
    layout_of,
    local,
    pins,
)
from onnxferry.system.errors import PackageError
from onnxferry.targets import TARGETS


def test_markers_are_evaluated_for_the_hosts_python_and_not_for_this_one() -> None:
    assert pins.version("onnxruntime", "3.10") != pins.version("onnxruntime", "3.12")
    assert pins.select(["sympy"], "3.12") == []
    assert pins.select(["sympy"], "3.10") == [f"sympy=={pins.version('sympy', '3.10')}"]


@pytest.mark.parametrize(
    "python", sorted({python for target in TARGETS for python in layout_of(target).pythons})
)
def test_each_distribution_has_one_version_for_each_python(python: str) -> None:
    for name in (
        "numpy",
        "onnxruntime",
        "tokenizers",
        "pillow",
        "azure-functions",
        "azureml-inference-server-http",
        "fastapi",
    ):
        assert pins.version(name, python)
    for name in pins.with_closure(pins.CLOSURES):
        assert len(pins.select([name], python, pins.AZUREML_BATCH)) <= 1, name


def test_every_line_of_a_closure_has_a_pin() -> None:
    names = pins.with_closure(pins.CLOSURES)

    found = map(Requirement, pins.lines(names, pins.AZUREML_BATCH).splitlines())
    assert {canonicalize_name(pin.name) for pin in found} == set(names)


@pytest.mark.parametrize("line", ["numpy>=2", "numpy==2.*", "numpy", "numpy==1,==2"])
def test_a_line_that_is_not_an_exact_pin_is_named_with_its_number(
    tmp_path: Path, line: str
) -> None:
    file = tmp_path / "pins.txt"
    file.write_text(f"# comment\n\nonnx==1\n{line}  # why\n")

    with pytest.raises(PackageError, match=r"pins\.txt, line 4: .*write numpy==VERSION"):
        pins.read(file)


def test_a_distribution_without_a_pin_is_named() -> None:
    with pytest.raises(PackageError, match="no pin of leftpad"):
        pins.select(["leftpad"], "3.12")


HERE = f"3.{sys.version_info.minor}"


def env_yml() -> list[str]:
    pinned: list[str] = azureml.environment(("tokenizers", "pillow"), HERE)["dependencies"][-1][
        "pip"
    ]
    return pinned


def batch_env() -> list[str]:
    libraries = ("tokenizers", "pillow", "urllib3")
    pinned: list[str] = azureml_batch.environment(libraries, HERE)["dependencies"][-1]["pip"]
    return pinned


def score_env() -> list[str]:
    pinned: list[str] = azureml_score.environment(HERE)["dependencies"][-1]["pip"]
    return pinned


def local_requirements() -> list[str]:
    listed = [
        Requirement(line) for line in local.requirements(("tokenizers", "pillow")).splitlines()[1:]
    ]
    return [f"{r.name}{r.specifier}" for r in listed if not r.marker or r.marker.evaluate()]


def conda_yaml() -> list[str]:
    return conda.requirements(["onnxruntime", "tokenizers", "pillow", "mlflow"], HERE)


@pytest.mark.host  # asks the index for metadata
@pytest.mark.parametrize(
    "pins_of",
    [
        env_yml,
        batch_env,
        pytest.param(score_env, marks=pytest.mark.series),
        local_requirements,
        pytest.param(conda_yaml, marks=pytest.mark.mlflow2),
    ],
)
def test_pip_would_install_nothing_but_what_is_pinned(
    pins_of: Callable[[], list[str]], tmp_path: Path
) -> None:
    pinned = pins_of()
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]

    done = subprocess.run(
        [*command, "--report", str(tmp_path / "report.json"), *pinned], check=False, text=True
    )

    assert done.returncode == 0
    report = json.loads((tmp_path / "report.json").read_text())
    found = {
        (canonicalize_name(i["metadata"]["name"]), i["metadata"]["version"])
        for i in report["install"]
        if i["metadata"]["name"] != "pip"  # conda brings it; azureml-dataprep asks for a new one
    }
    assert found == {
        (canonicalize_name(r.name), str(r.specifier)[2:]) for r in map(Requirement, pinned)
    }

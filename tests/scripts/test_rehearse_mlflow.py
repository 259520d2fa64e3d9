"""What a rehearsal of MLflow's servers is, but for the servers themselves, which
tests/scripts/test_rehearse.py starts."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from onnxferry.scripts.package import Package
from onnxferry.scripts.rehearse.__main__ import command
from onnxferry.scripts.rehearse.mlflow import RUNTIME
from onnxferry.scripts.rehearse.runtime import UnpackedPackage
from onnxferry.scripts.rehearse.start import runtime_of
from tests.targets.served import built

HERE = Path(__file__)


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return built("mlflow", tmp_path_factory.mktemp("mlflow"))


@pytest.mark.parametrize("image", ["", "sagemaker"])
def test_mlflow_is_told_not_to_report_its_use(image: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlflow.telemetry.utils import is_telemetry_disabled

    # a test's is off by itself
    monkeypatch.setattr("mlflow.telemetry.utils._IS_IN_CI_ENV_OR_TESTING", False)
    for name in ("MLFLOW_DISABLE_TELEMETRY", "DO_NOT_TRACK"):
        monkeypatch.delenv(name, raising=False)
    assert not is_telemetry_disabled()
    unpacked = UnpackedPackage(HERE, HERE, HERE)
    for name, value in runtime_of("mlflow", image).environment(unpacked, 1).items():
        monkeypatch.setenv(name, value)
    assert is_telemetry_disabled()


def test_the_environment_is_what_the_package_lists(package: Package, tmp_path: Path) -> None:
    unpacked = RUNTIME.unpack(package, tmp_path)
    (install,) = RUNTIME.installs(unpacked, package.python)
    lines = (package.path / "requirements.txt").read_text().splitlines()
    assert list(install.requirements) == lines
    assert any(line.startswith("mlflow==") for line in lines)
    assert all("==" in line for line in lines)
    assert install.options == ()


def test_an_image_that_is_neither_packaged_for_nor_rehearsed_in_is_named(package: Package) -> None:
    for words in ([str(package.path)], ["--target", "mlflow", "--model", str(HERE.parent)]):
        done = CliRunner().invoke(command, [*words, "--image", "prebuilt"])
        assert done.exit_code == 2
        said = f"{done.output}{done.exception}"
        assert "mlflow has no image 'prebuilt'; known: azureml; to rehearse in: sagemaker" in said
    done = CliRunner().invoke(command, ["--target", "azureml", "--image", "sagemaker"])
    assert "azureml has no image 'sagemaker'; known: prebuilt" in f"{done.output}{done.exception}"

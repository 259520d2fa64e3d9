"""What is in each target's package, and that equal input gives equal bytes."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]
from click.testing import CliRunner

from onnxferry import scoring
from onnxferry.scripts.package import Package, layout_of, package, read
from onnxferry.scripts.package.__main__ import command as main
from onnxferry.scripts.package.build import check_limit
from onnxferry.scripts.package.contract import Member
from onnxferry.system.errors import PackageError, UsageError
from onnxferry.targets import TARGETS
from tests import tiny
from tests.packages import bare, quiet

ROOT = Path(__file__).parents[2]
BUILD = """
import pathlib, sys
from tests.scripts.test_package import build
build(pathlib.Path("."), sys.argv[1], pathlib.Path("out"))
"""


def build(model: Path, target: str, out: Path, python: str | None = None) -> Package:
    """The package, but for SageMaker's libraries, of which test_package_wheels tells."""
    layout = bare(target) if target == "sagemaker" else target
    return package(model, layout, out=out, python=python, report=quiet)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return tiny.question_answering(tmp_path / "model")


def test_sagemaker_gets_the_model_at_the_root_and_the_code_beside_it(
    model: Path, tmp_path: Path
) -> None:
    built = build(model, "sagemaker", tmp_path)

    assert built.path == tmp_path / "sagemaker" / "tiny-qa" / "model.tar.gz"
    with tarfile.open(built.path) as tar:
        names = tar.getnames()
        assert all(member.isfile() for member in tar)
        tar.extractall(tmp_path / "opt", filter="data")
    assert {"model.onnx", "model_spec.json", "tokenizer.json", "code/inference.py"} <= set(names)
    assert "code/requirements.txt" not in names  # it would be installed at each start
    assert not [name for name in names if "__pycache__" in name or name.startswith(("/", "."))]
    original = Path(scoring.__file__).parent
    for file in original.rglob("*.py"):
        assert (
            tmp_path / "opt/code/onnxferry/scoring" / file.relative_to(original)
        ).read_bytes() == file.read_bytes()


def test_azureml_gets_a_folder_whose_paths_are_its_own(model: Path, tmp_path: Path) -> None:
    folder = build(model, "azureml", tmp_path, "3.11").path

    deployment = yaml.safe_load((folder / "deployment.yml").read_text())
    endpoint = yaml.safe_load((folder / "endpoint.yml").read_text())
    environment = yaml.safe_load((folder / deployment["environment"]["conda_file"]).read_text())
    code = folder / deployment["code_configuration"]["code"]
    assert (code / deployment["code_configuration"]["scoring_script"]).is_file()
    assert (code / "onnxferry" / "scoring" / "scorer.py").is_file()
    assert (folder / deployment["model"]["path"] / "model.onnx").read_bytes() == (
        model / "model.onnx"
    ).read_bytes()
    assert deployment["endpoint_name"] == endpoint["name"] == "tiny-qa"
    variables, settings = deployment["environment_variables"], deployment["request_settings"]
    assert variables["WORKER_COUNT"] == "1"  # the model is in memory once
    assert (
        variables["GUNICORN_CMD_ARGS"]
        == f"--threads={settings['max_concurrent_requests_per_instance']}"
    )
    assert environment["dependencies"][0] == "python=3.11"
    assert not [path for path in folder.rglob("*.yml") if str(tmp_path) in path.read_text()]


@pytest.mark.parametrize(
    ("name", "endpoint"),
    [("a.b_c", "a-b-c"), ("7b", "onnx-7b"), ("x", "onnx-x"), ("m" * 31 + "-2", "m" * 31)],
)
def test_azureml_endpoint_names_are_what_the_platform_takes(
    model: Path, tmp_path: Path, name: str, endpoint: str
) -> None:
    rename(model, name)

    folder = build(model, "azureml", tmp_path).path

    assert yaml.safe_load((folder / "endpoint.yml").read_text())["name"] == endpoint


def test_azureml_takes_both_files(model: Path, tmp_path: Path) -> None:
    ml = pytest.importorskip("azure.ai.ml")
    folder = build(model, "azureml", tmp_path).path

    assert ml.load_online_endpoint(folder / "endpoint.yml").name == "tiny-qa"
    deployment = ml.load_online_deployment(folder / "deployment.yml")

    assert deployment.request_settings.request_timeout_ms == 90_000


@pytest.mark.parametrize("target", ["sagemaker", "azureml", "local", "mlflow"])
def test_equal_input_gives_equal_bytes_whatever_the_files_times_and_modes(
    model: Path, tmp_path: Path, target: str
) -> None:
    first = build(model, target, tmp_path / "one")

    elsewhere = shutil.copytree(model, tmp_path / "elsewhere")
    for file in elsewhere.iterdir():
        os.utime(file, (1, 1))
        file.chmod(0o600)
    env = {**os.environ, "TZ": "Asia/Tokyo", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", BUILD, target]
    subprocess.run(command, cwd=elsewhere, env=env, umask=0o077, check=True)
    second = read(elsewhere / "out" / target / "tiny-qa")

    assert (second.sha256, second.members) == (first.sha256, first.members)
    if second.path.is_file():
        assert hashlib.sha256(second.path.read_bytes()).hexdigest() == first.sha256


def test_another_model_gives_another_sha256(model: Path, tmp_path: Path) -> None:
    first = build(model, "sagemaker", tmp_path).sha256
    rename(model, "tiny-qb")

    assert build(model, "sagemaker", tmp_path).sha256 != first


@pytest.mark.parametrize("target", ["sagemaker", "azureml", "local"])
@pytest.mark.parametrize(
    "where", [lambda p: p, lambda p: p.parent, lambda p: p.parent / "package.json"]
)
def test_a_package_is_read_from_its_path_its_folder_or_its_manifest(
    model: Path, tmp_path: Path, target: str, where: Callable[[Path], Path]
) -> None:
    built = build(model, target, tmp_path)

    assert read(where(built.path)) == built


@pytest.mark.parametrize("target", ["sagemaker", "azureml", "local"])
def test_what_is_there_already_is_not_written_again_unless_it_was_changed(
    model: Path, tmp_path: Path, target: str
) -> None:
    built = build(model, target, tmp_path)
    written = built.path.stat().st_ino
    assert (build(model, target, tmp_path), built.path.stat().st_ino) == (built, written)

    changed = built.path / "more.txt" if built.path.is_dir() else built.path
    changed.write_bytes(b"changed")
    assert build(model, target, tmp_path) == built
    assert read(built.path) == built


def test_a_changed_package_is_refused(model: Path, tmp_path: Path) -> None:
    archive, folder = (
        build(model, "sagemaker", tmp_path).path,
        build(model, "azureml", tmp_path).path,
    )
    archive.write_bytes(archive.read_bytes() + b"x")
    (folder / "code" / "score.py").write_text("def init(): ...")

    for path in (archive, folder):
        with pytest.raises(PackageError, match="changed since it was built"):
            read(path)


def test_running_the_code_of_a_folder_does_not_change_it(model: Path, tmp_path: Path) -> None:
    built = build(model, "azureml", tmp_path)
    cache = built.path / "code" / "__pycache__"
    cache.mkdir()
    (cache / "score.cpython-312.pyc").write_bytes(b"cache")

    assert read(built.path) == built


def test_an_absent_package_says_how_to_build_it(model: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageError, match=r"package\.json: no such file.*onnxferry package"):
        read(tmp_path / "build" / "sagemaker" / "none")
    built = build(model, "sagemaker", tmp_path)
    built.path.unlink()
    with pytest.raises(PackageError, match=r"model\.tar\.gz: no such package.*--target sagemaker"):
        read(built.path)


@pytest.mark.parametrize("target", ["sagemaker", "azureml", "local"])
def test_a_package_is_replaced_whole_and_leaves_nothing_beside_it(
    model: Path, tmp_path: Path, target: str
) -> None:
    build(model, target, tmp_path)
    (model / "model.onnx.data").write_bytes(b"weights")

    second = build(model, target, tmp_path)

    assert read(second.path) == second
    assert [m.path for m in second.members if m.path.endswith("model.onnx.data")]
    assert {p.name for p in second.path.parent.iterdir()} == {"package.json", second.path.name}


@pytest.mark.parametrize("target", ["sagemaker", "azureml", "local"])
def test_a_failure_while_writing_keeps_the_package_that_was_there(
    model: Path, tmp_path: Path, target: str
) -> None:
    built = build(model, target, tmp_path)
    (model / "model.onnx.data").write_bytes(b"weights")

    def full(entries: object, path: Path) -> None:
        path.write_bytes(b"half") if target == "sagemaker" else path.mkdir()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        layout = replace(bare(target), write=full)
        package(model, layout, out=tmp_path, report=quiet)

    assert read(built.path) == built
    assert not list(built.path.parent.glob(".*"))


def test_a_package_over_the_limit_names_both_sizes_and_the_largest_members(
    model: Path, tmp_path: Path
) -> None:
    (model / "model.onnx.data").write_bytes(os.urandom(2_000_000))
    layout = bare("sagemaker")
    for limited, what in (
        (replace(layout, packed=1_000_000), "packed"),
        (replace(layout, unpacked=1_500_000), "unpacked"),
    ):
        said = rf"2\.\d MB {what}; sagemaker takes 1\.\d MB.*model\.onnx\.data 2\.0 MB"
        with pytest.raises(PackageError, match=said):
            package(model, limited, out=tmp_path, report=quiet)

    assert not (tmp_path / "sagemaker" / "tiny-qa" / "model.tar.gz").exists()


def test_exactly_the_limit_is_allowed() -> None:
    check_limit("functions", "packed", 1_000, 1_000, [Member("model.onnx", 1_000, "")])


def test_an_unknown_target_or_python_lists_the_known(model: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError,
        match="unknown target 'lambda'; known: azureml, container, functions, local, mlflow,",
    ):
        build(model, "lambda", tmp_path)
    with pytest.raises(
        UsageError, match=r"Python 3\.13 is not what sagemaker runs; allowed: 3\.10, 3\.11, 3\.12"
    ):
        build(model, "sagemaker", tmp_path, "3.13")


def test_each_target_is_for_the_python_of_its_platform_unless_told(
    model: Path, tmp_path: Path
) -> None:
    assert {target: layout_of(target).pythons[0] for target in TARGETS} == {
        "azureml": "3.12",
        "container": "3.12",
        "functions": "3.12",
        "local": "3.12",
        "mlflow": "3.12",
        "sagemaker": "3.12",
    }
    assert build(model, "sagemaker", tmp_path).python == "3.12"
    assert build(model, "sagemaker", tmp_path, "3.10").python == "3.10"


def test_the_command_line_lists_the_content_and_prints_json(model: Path, tmp_path: Path) -> None:
    command = [str(model), "--target", "azureml", "--out", str(tmp_path)]

    table = CliRunner().invoke(main, command)
    data = CliRunner().invoke(main, [*command, "--output", "json"])

    assert table.exit_code == data.exit_code == 0
    manifest = json.loads(data.stdout)
    assert read(Path(manifest["path"])).sha256 == manifest["sha256"]


def test_the_command_line_reports_a_known_failure_with_its_exit_code(
    model: Path, tmp_path: Path
) -> None:
    wrong_setting = CliRunner().invoke(
        main, [str(model), "--target", "sagemaker", "--python", "2.7"]
    )
    no_folder = CliRunner().invoke(main, [str(tmp_path / "none"), "--target", "sagemaker"])
    no_model = CliRunner().invoke(main, [str(tmp_path), "--target", "sagemaker"])

    assert (wrong_setting.exit_code, no_folder.exit_code, no_model.exit_code) == (2, 2, 1)


def rename(model: Path, name: str) -> None:
    spec = json.loads((model / "model_spec.json").read_text())
    (model / "model_spec.json").write_text(json.dumps({**spec, "name": name}))

"""Installed from a wheel: one top-level name, all files, no clash with a project's own names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests import tiny
from tests.targets.served import GOLDEN, HERE

ROOT = Path(__file__).parent.parent
ROOMS = ("infra", "scoring", "scripts", "targets")
OWN = ("scoring.py", "deploy.py", "scripts/__init__.py", "infra/__init__.py", "targets/__init__.py")


def tracked() -> list[str]:
    """The files of this checkout that git knows and that are there."""
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [name for name in listed.stdout.split("\0") if name and os.path.lexists(ROOT / name)]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy of git's files without the links in onnxferry/, as a system has them that
    keeps no links."""
    source, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in tracked():
        if not (ROOT / name).is_symlink():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, source / name)
    pip("wheel", "--no-build-isolation", "--wheel-dir", str(out), str(source))
    return next(out.glob("onnxferry-*.whl"))


@dataclass(frozen=True)
class Installed:
    """A virtual environment with the wheel, which finds its dependencies where this one does."""

    bin: Path
    before: set[str]
    after: set[str]

    def run(self, *command: str | Path, folder: Path) -> str:
        """What a program of the environment prints, run in `folder` with that on its path."""
        env = {**os.environ, "PYTHONPATH": "."}
        words = [self.bin / command[0], *command[1:]]
        done = subprocess.run(
            words, cwd=folder, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    venv = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(venv)], check=True)
    packages = next(venv.glob("lib/python*/site-packages"))
    # a path in a .pth file, whose own .pth files (the editable install) are not read
    (packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    before = names(packages)
    pip("--python", str(venv / "bin" / "python"), "install", str(wheel))
    return Installed(venv / "bin", before, names(packages))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project that has modules of the names of our rooms, and a model."""
    for name in OWN:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("OWN = True\n")
    tiny.text_classification(tmp_path / "model", golden=GOLDEN)
    return tmp_path


def pip(*words: str) -> None:
    command = [sys.executable, "-m", "pip", *words, "--no-deps", "--no-index", "--quiet"]
    subprocess.run(command, check=True)


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_it_adds_one_name(installed: Installed) -> None:
    added = {name for name in installed.after - installed.before if name != "__pycache__"}
    assert {name for name in added if not name.endswith(".dist-info")} == {"onnxferry"}
    assert len(added) == 2


def test_it_holds_the_files_that_git_has(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        name if name.startswith("onnxferry/") else f"onnxferry/{name}"
        for name in tracked()
        if name.startswith(("onnxferry/", *(f"{room}/" for room in ROOMS)))
        and not (ROOT / name).is_symlink()
    }
    assert held == expected


def test_it_packages_within_a_project_of_the_same_names(
    installed: Installed, project: Path
) -> None:
    for target in ("azureml", "local"):
        installed.run("onnxferry", "package", "model", "--target", target, folder=project)
        assert (project / "build" / target).is_dir()
    made = project / "build" / "local" / "tiny-text" / "package" / "onnxferry"
    assert (made / "__init__.py").read_bytes() == (ROOT / "onnxferry/__init__.py").read_bytes()
    assert (made / "scoring" / "scorer.py").is_file()


def test_it_leaves_a_projects_own_modules_alone(installed: Installed, project: Path) -> None:
    code = (
        "import scoring, onnxferry, scripts\n"
        "scorer = onnxferry.load('model')\n"
        'print(scorer.handle(onnxferry.Request(b\'{"inputs": "good"}\')).status)\n'
        "import infra, targets, deploy\n"
        "print(all(m.OWN for m in (scoring, scripts, infra, targets, deploy)), onnxferry.__file__)"
    )
    printed = installed.run("python", "-c", code, folder=project).split()
    assert printed[:2] == ["200", "True"]
    assert Path(printed[2]).is_relative_to(installed.bin.parent)


@pytest.mark.host
def test_it_rehearses_within_a_project_of_the_same_names(
    installed: Installed, project: Path
) -> None:
    words = ("rehearse", "--target", "local", "--model", "model", "--python", HERE)
    assert "as expected" in installed.run("onnxferry", *words, folder=project)

"""One row makes a target: packaging, rehearsal, configuration and cloud follow the table."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from onnxferry.scripts.package import read
from onnxferry.scripts.package.layout import PackageLayout
from onnxferry.scripts.rehearse.runtime import Runtime
from onnxferry.targets import TARGETS, clouds, keyed, load
from tests import tiny

ROOT = Path(__file__).parent.parent
HERE = f"{sys.version_info.major}.{sys.version_info.minor}"


def run(*words: str | Path) -> str:
    """What the command line prints with the row of an imaginary target, "moon"."""
    command = [sys.executable, "-m", "tests.imaginary_target", *map(str, words)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_a_row_is_enough_to_package(tmp_path: Path) -> None:
    model = tiny.text_classification(tmp_path / "model")
    printed = run("package", model, "--target", "moon", "--out", tmp_path, "--output", "json")
    built = read(Path(json.loads(printed)["path"]))
    assert built.target == "moon"
    assert (built.path / "server.py").is_file()


def test_a_row_is_enough_to_configure_and_to_reach_the_cloud(tmp_path: Path) -> None:
    file = tmp_path / "deploy.toml"
    run("init", "--target", "moon", "--config", file)
    assert '# crater = "Tycho"' in file.read_text()
    words = ("logs", "--target", "moon", "--name", "squad", "--config", file)
    assert run(*words, "--set", "crater=Copernicus") == "served from Copernicus\n"


def test_a_row_is_enough_to_rehearse(tmp_path: Path) -> None:
    model = tiny.text_classification(tmp_path / "model")
    words = ("--target", "moon", "--model", model, "--out", tmp_path, "--python", HERE)
    with pytest.raises(subprocess.CalledProcessError) as raised:
        run("rehearse", *words)
    assert raised.value.stderr.endswith("error: the moon's runtime needs a rocket\n")


@pytest.mark.parametrize("name", TARGETS)
def test_each_row_leads_to_what_it_names(name: str) -> None:
    target = TARGETS[name]
    assert isinstance(load(target.layout), PackageLayout)
    assert load(target.layout).target == name
    assert isinstance(load(target.runtime), Runtime)
    assert (name in clouds()) == bool(target.connect) == bool(target.settings)
    for reference in filter(None, (target.settings, target.connect)):
        assert callable(load(reference))


def test_the_targets_with_keys_are_those_whose_clouds_have_them() -> None:
    for name in clouds():
        module = importlib.import_module(f"onnxferry.infra.{name}.cloud")
        (made,) = (
            found
            for word, found in vars(module).items()
            if word.endswith("Cloud") and found.__module__ == module.__name__
        )
        assert ({"access", "plan_rotate"} <= set(dir(made))) == (name in keyed())

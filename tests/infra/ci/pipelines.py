"""Pipelines that `ci` wrote, read again: their jobs, and the scripts that these run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml  # type: ignore[import-untyped]
from click.testing import CliRunner

from onnxferry import cli
from tests.fakes.aws import ACCOUNT, REGION
from tests.fakes.azure.fake import SUBSCRIPTION

ROOT = Path(__file__).parents[3]
ORGANIZATION = "00000000-0000-0000-0000-0000000000aa"
GIVEN = {  # provider -> flags
    "github": ("--repository", "octo/squad"),
    "azure-devops": ("--repository", "octo/Question answering", "--organization-id", ORGANIZATION),
}
PLACES = {"github": ".github/workflows", "azure-devops": ".azuredevops"}
BESIDE = {"github": ".github", "azure-devops": ".azuredevops"}
_AZURE = f'subscription = "{SUBSCRIPTION}"\nresource_group = "ml"\n'
TABLES = {
    "sagemaker": f'region = "{REGION}"\nimage = "own:1"\n',
    "azureml": f'{_AZURE}workspace = "models"\n',
    "functions": _AZURE,
}
MODEL = '[model]\nname = "Squad"\nsource = "org/squad"\n'


def repository(root: Path, target: str, model: str = MODEL, more: str = "") -> Path:
    """The root of a repository with a deploy.toml."""
    root.mkdir(parents=True, exist_ok=True)
    text = f"{model}[{target}]\n{TABLES[target]}{more}"
    (root / "deploy.toml").write_text(text, encoding="utf-8")
    return root


def ci(root: Path, target: str, provider: str, *more: str, code: int = 0) -> str:
    """What the command says; more flags win."""
    words = ["ci", "--target", target, "--provider", provider, "--out", str(root)]
    words += ["--account", ACCOUNT, *GIVEN[provider], *more]
    result = CliRunner().invoke(cli.cli, words, catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def pipeline(root: Path, provider: str, title: str = "Squad-sagemaker") -> Any:
    """The one that is written there, as data. YAML's older `on` is true."""
    text = (root / PLACES[provider] / f"{title}.yml").read_text(encoding="utf-8")
    found = yaml.safe_load(text)
    return {"on" if key is True else key: value for key, value in found.items()}


def document(root: Path, provider: str, name: str, title: str = "Squad-sagemaker") -> Any:
    """A file beside it, as data."""
    text = (root / BESIDE[provider] / title / name).read_text(encoding="utf-8")
    return json.loads(text)


def steps(root: Path, provider: str, job: str, title: str) -> list[dict[str, Any]]:
    """Of a job, or of the job of a stage."""
    found = pipeline(root, provider, title)
    if provider == "github":
        listed: list[dict[str, Any]] = found["jobs"][job]["steps"]
        return listed
    (stage,) = (each for each in found["stages"] if each["stage"] == job)
    (only,) = stage["jobs"]
    return [*(only.get("steps") or only["strategy"]["runOnce"]["deploy"]["steps"])]


def scripts(
    root: Path, provider: str, job: str, title: str = "Squad-sagemaker"
) -> Iterator[tuple[str, str, dict[str, str]]]:
    """What a job's steps run: title, text, and the variables that they are given."""
    for step in steps(root, provider, job, title):
        text = step.get("run") or step.get("bash")
        inputs = step.get("inputs", {})
        if path := inputs.get("filePath") or inputs.get("scriptPath"):
            text = (root / path).read_text(encoding="utf-8")
        if text:
            title_of = str(step.get("name") or step.get("displayName"))
            yield title_of, str(text), step.get("env", {})


class Runner:
    """A machine that runs scripts as a provider's does, in a checkout of `root`: `python -m pip`
    only notes what it is asked for, `onnxferry` is `command`."""

    def __init__(self, root: Path, command: str = "tests.infra.ci.bare_onnxferry") -> None:
        self.root, self._bin = root, root.parent / "bin"
        self._bin.mkdir(exist_ok=True)
        self.summary = root.parent / "summary.md"
        self._installed = root.parent / "installed"
        pip = f'[ "$1 $2" != "-m pip" ] || {{ echo "$@" >> {self._installed}; exit 0; }}'
        self._write("python", f'{pip}\nexec {sys.executable} "$@"')
        self._write("onnxferry", f'exec {sys.executable} -m {command} "$@"')

    @property
    def installed(self) -> str:
        """What pip was asked for."""
        return self._installed.read_text(encoding="utf-8")

    def run(self, text: str, given: Mapping[str, str] = MappingProxyType({}), code: int = 0) -> str:
        """Run a script; all that it printed."""
        path = f"{self._bin}{os.pathsep}{os.environ['PATH']}"
        own = {"PATH": path, "PYTHONPATH": str(ROOT), "GITHUB_STEP_SUMMARY": str(self.summary)}
        done = subprocess.run(
            ["bash", "-c", text],
            cwd=self.root,
            env={**os.environ, **own, **given},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr

    def _write(self, name: str, text: str) -> None:
        path = self._bin / name
        path.write_text(f"#!/usr/bin/env bash\n{text}\n", encoding="utf-8")
        path.chmod(0o755)

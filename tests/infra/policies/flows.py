"""Every command that talks to a cloud, as people run it, one after the other in one account."""

from __future__ import annotations

import gzip
import json
import tarfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import click
from click.testing import CliRunner

from onnxferry import cli, scoring
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scripts.package import Package, package
from onnxferry.system.hashes import sha256
from tests import tiny

NAME = "squad"
WORDS = {"a": "rebecca", "b": "dolly", "c": "parton", "wrong": "1946"}  # model -> its answer


@dataclass(frozen=True)
class Command:
    """One run: the model ("a", "b", "c", or "wrong", which fails its golden request), the exit
    codes that are right, and further options. `role` is whose run it is; `changed`, whether with
    other settings; `says` are words of what a run that is right prints."""

    name: str
    model: str = "c"
    codes: Collection[int] = (0,)
    more: tuple[str, ...] = ()
    role: str = "deployer"
    changed: bool = False
    says: str = ""
    only: str = ""  # the one target that has it

    def __str__(self) -> str:
        return f"{self.role}: {self.name} {self.model}"


QUESTION = "question.json"
BATCH = ("--input", "s3://data/in/", "--output", "s3://data/out/", "--overwrite", "--yes")
READS = (
    Command("plan"),
    Command("drift", codes=(2,)),
    Command("status"),
    Command("logs"),
    Command("logs", more=("--since", "1d"), only="sagemaker"),
    Command("list"),
    Command("invoke", more=("--input", QUESTION)),
)
SHADOW = ("--yes", "--set", "rollout.shadow=100", "--set", "capture.percent=100")
LESS = ("--set", "scaling.schedule=[]", "--set", 'tags={"group": "ml"}')
ASYNC = ("--set", "serving.mode=async", "--set", "scaling.max=2", "--set", "scaling.target=5")
WHOLE = ("--deploy", "--endpoint", "--yes")
KEYED, ROTATED = ("azureml", "functions"), ("--rotate", "--yes")
WORKSPACE = ("--deploy", "--yes", "--set", "workspace=made")  # beside the one that is there
DIFFERS = "the golden request differs"
STACK_FAILS = "UPDATE_ROLLBACK"
FLOWS = (
    Command("deploy", "a"),
    Command("deploy", "a"),
    Command("deploy", "b"),
    Command("deploy", "b", changed=True),
    Command("deploy", "b", changed=True, more=LESS, only="sagemaker"),
    Command("deploy", "c", (1,), says="the earlier configuration back", only="sagemaker"),
    Command("deploy", "wrong", (1,), says=DIFFERS),
    Command("deploy", more=SHADOW, only="sagemaker"),
    Command("compare", role="reader", only="sagemaker"),
    Command("delete", more=("--unproved", "--yes"), only="sagemaker"),
    *(replace(command, role="reader") for command in READS),
    *(Command("keys", role="reader", only=target) for target in KEYED),
    *(Command("keys", more=ROTATED, only=target) for target in KEYED),
    Command("deploy"),
    Command("template", more=("--deploy", "--yes"), changed=True, only="functions"),
    Command("rollback"),
    Command("batch", codes=(1,), more=BATCH, says="ended as Failed", only="sagemaker"),
    Command("batch", more=BATCH, only="sagemaker"),
    Command("batch", more=(*BATCH, "--no-wait"), only="sagemaker"),
    Command("batch", more=(*BATCH, "--cancel"), only="sagemaker"),
    Command("delete", more=("--yes",)),
    Command("template", more=WORKSPACE, only="azureml"),
    Command("template", "a", more=WHOLE, only="sagemaker"),
    Command("template", "wrong", (1,), WHOLE, says=DIFFERS, only="sagemaker"),
    Command("template", "b", (1,), WHOLE, changed=True, says=STACK_FAILS, only="sagemaker"),
    Command("template", "b", more=WHOLE, changed=True, only="sagemaker"),
    Command("delete", "b", more=("--yes",), only="sagemaker"),
    Command("deploy", "a", more=(*ASYNC, "--set", "scaling.min=0"), only="sagemaker"),
    Command("deploy", "a", more=ASYNC, only="sagemaker"),
    Command("invoke", "a", more=("--input", QUESTION, "--async"), only="sagemaker"),
    Command("delete", "a", more=("--yes",), only="sagemaker"),
)


@dataclass(frozen=True)
class Done:
    """How a run ended, and all that it printed."""

    command: Command
    code: int
    text: str

    @property
    def right(self) -> bool:
        """Whether it ended as it should."""
        flat = " ".join(self.text.split())
        return self.code in self.command.codes and self.command.says in flat


@dataclass(frozen=True)
class Models:
    """The model directories, and their packages for one target, by the names of WORDS."""

    folders: Mapping[str, Path]
    packages: Mapping[str, Package]


@dataclass(frozen=True)
class CommandLine:
    """The command line in this process, on packages that are made already. `settings` are the
    target's table of deploy.toml, and `changes` others, for some commands."""

    target: str
    settings: Mapping[str, Any]
    changes: Mapping[str, Any]
    models: Models
    folder: Path = field(repr=False)
    name: str = NAME

    def __call__(self, command: Command) -> Done:
        file = self.folder / "deploy.toml"
        settings = {**self.settings, **(self.changes if command.changed else {})}
        lines = [f"{key} = {_toml(value)}" for key, value in settings.items()]
        file.write_text("\n".join([f"[{self.target}]", *lines]), encoding="utf-8")
        given = {
            "--target": self.target,
            "--name": self.name,
            "--config": str(file),
            "--out": str(self.folder / "build"),
            "--model": str(self.models.folders[command.model]),
        }
        (self.folder / QUESTION).write_text(json.dumps({"inputs": tiny.QUESTION}), encoding="utf-8")
        more = (str(self.folder / word) if word == QUESTION else word for word in command.more)
        known = {option for p in _options(command.name) for option in p.opts}
        words = [word for option in given.items() if option[0] in known for word in option]
        done = CliRunner().invoke(cli.cli, [command.name, *words, *more])
        if done.exception and not isinstance(done.exception, SystemExit):
            raise done.exception
        return Done(command, done.exit_code, done.output)

    def package(self, folder: Path, *_: Any, **__: Any) -> Package:
        """In the place of the function `package`."""
        (name,) = [name for name, known in self.models.folders.items() if known == folder]
        return self.models.packages[name]


def flows(target: str) -> Iterator[Command]:
    """The runs of `target` whose commands there are."""
    there = (command for command in FLOWS if command.name in cli.COMMANDS)
    return (command for command in there if command.only in ("", target))


def _toml(value: Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if not isinstance(value, dict):
        return json.dumps(value)
    return "{ " + ", ".join(f"{key} = {_toml(inner)}" for key, inner in value.items()) + " }"


def _options(name: str) -> list[click.Parameter]:
    command = cli.cli.get_command(click.Context(cli.cli), name)
    assert command, name
    return command.params


def models(target: str, folder: Path) -> Models:
    """Four tiny models with the packages that `target` loads of them."""
    folders = {name: _model(folder / name, word) for name, word in WORDS.items()}
    _spoil(folders["wrong"])
    return Models(folders, {name: _package(target, found) for name, found in folders.items()})


def _model(folder: Path, word: str) -> Path:
    tiny.question_answering(folder)
    tiny.span_graph(folder / "model.onnx", {word: (4, 4)})
    request = tiny.golden({"inputs": tiny.QUESTION}, None).request
    answer = json.loads(scoring.load(folder).handle(request).body)
    return tiny.write_spec(folder, replace(ModelSpec.read(folder), golden=Golden(request, answer)))


def _spoil(folder: Path) -> None:
    """Let the golden answer be one that the model does not give."""
    spec = ModelSpec.read(folder)
    assert spec.golden
    tiny.write_spec(folder, replace(spec, golden=replace(spec.golden, answer={"answer": "none"})))


def _package(target: str, model: Path) -> Package:
    """Without libraries, which no fake loads, and for AzureML with one file of code."""
    made = {"functions": _zipped, "sagemaker": _tarred}
    if target in made:
        path = made[target](model)
        return Package(target, "tiny-qa", path, sha256(path), path.stat().st_size, "3.12", ())
    built = package(model, target, out=model.parent / f"{model.name}-out", report=_quiet)
    kept = (m for m in built.members if m.path.startswith("model/") or m.path == "code/score.py")
    return replace(built, members=tuple(kept))


def _zipped(model: Path) -> Path:
    path = model.parent / f"{model.name}.zip"
    with zipfile.ZipFile(path, "w") as zipped:
        for name in ("host.json", "function_app.py"):
            zipped.writestr(zipfile.ZipInfo(name), "{}")
        for file in sorted(model.iterdir()):
            zipped.writestr(zipfile.ZipInfo(f"model/{file.name}"), file.read_bytes())
    return path


def _tarred(model: Path) -> Path:
    path = model.parent / f"{model.name}.tar.gz"
    with (
        gzip.GzipFile(path, "wb", mtime=0) as zipped,
        tarfile.open(fileobj=zipped, mode="w") as tar,
    ):
        for file in sorted(model.iterdir()):
            facts = tarfile.TarInfo(file.name)
            facts.size = file.stat().st_size
            with file.open("rb") as data:
                tar.addfile(facts, data)
    return path


def _quiet(title: str) -> nullcontext[Any]:
    return nullcontext(lambda text: None)

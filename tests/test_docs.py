"""What the documents say is there: links, paths, modules, commands and options."""

from __future__ import annotations

import importlib
import json
import logging
import re
import shlex
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import click
import pytest

from docs import generate
from onnxferry.cli import cli
from onnxferry.infra.config import load
from onnxferry.scoring.engine import Session
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.targets import clouds
from tests import tiny
from tests.documents import PAGES, ROOT, code_blocks, links, read, snippet

PLACEHOLDER = re.compile(
    r"[A-Z]{3}|X$|[<*]|harbour|text_ranking"
)  # TARGET/, *.py, the worked examples
ROOMS = ("docs", "examples", "infra", "onnxferry", "scoring", "scripts", "targets", "tests")
PAGE = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
COMMAND = re.compile(
    r"^(?:onnxferry|python deploy\.py|python -m scripts\.(?=\w))(?:\s+|(?<=\.))(.*)"
)


@pytest.mark.parametrize("path", generate.pages(), ids=lambda path: path.name)
def test_the_generated_pages_are_those_of_the_code(path: Path) -> None:
    current = path.read_text(encoding="utf-8")
    assert current == generate.pages()[path], "make it again: .venv/bin/python -m docs.generate"


def test_the_readme_is_short() -> None:
    assert len(read("README.md").splitlines()) <= 120


@PAGE
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    relative = [link for link in links(page.read_text(encoding="utf-8")) if "://" not in link]
    missing = [x for x in relative if not (page.parent / x.partition("#")[0]).exists()]
    assert not missing


def test_the_index_lists_every_page() -> None:
    listed = {(ROOT / "docs" / link).resolve() for link in links(read("docs/index.md"))}
    pages = {page for page in PAGES if page.is_relative_to(ROOT / "docs")}
    assert listed == pages - {ROOT / "docs" / "index.md"}


@PAGE
def test_every_path_in_the_repository_exists(page: Path) -> None:
    pattern = rf"`((?:{'|'.join(ROOMS)})/[\w./-]+)`"
    named = re.findall(pattern, page.read_text(encoding="utf-8"))
    missing = [p for p in named if not PLACEHOLDER.search(p) and not (ROOT / p).exists()]
    assert not missing


def test_every_cloud_has_the_files_that_the_architecture_names() -> None:
    text = read("docs/architecture.md")
    table = text.partition("same files for the same purposes")[2].partition("\n\n")[2]
    listed = re.findall(r"^\| `(\w+\.py)`", table, re.MULTILINE)
    assert len(listed) == 8
    named = {*listed, *re.findall(r"infra/CLOUD/(\w+\.py)", text)}
    missing = [
        (cloud, f) for cloud in clouds() for f in named if not (ROOT / "infra" / cloud / f).exists()
    ]
    assert not missing


def test_the_worked_task_names_every_table_of_tasks() -> None:
    section = read("docs/contributing.md").partition("## Add a task")[2]
    files = [f for room in ("scoring", "scripts") for f in (ROOT / room).rglob("*.py")]
    tables = [f for f in files if '"token-classification"' in f.read_text(encoding="utf-8")]
    named = {table.relative_to(ROOT).as_posix() for table in tables}
    assert "scoring/tasks/__init__.py" in named
    assert not {path for path in named if f"`{path}`" not in section}


@PAGE
def test_every_module_can_be_imported(page: Path) -> None:
    pattern = r"\bonnxferry\.(?:infra|scoring|scripts|system|targets)(?:\.[a-z_]+)*\b"
    named = set(re.findall(pattern, page.read_text(encoding="utf-8")))
    for name in sorted(name for name in named if not PLACEHOLDER.search(name)):
        importlib.import_module(name)


@PAGE
def test_every_make_target_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z0-9-]*):", read("Makefile"), re.MULTILINE))
    text = page.read_text(encoding="utf-8")
    lines = [x for x in (*code_blocks(text), *inline(text)) if x.startswith("make ")]
    for block in lines:
        for line in block.splitlines():
            words = line.partition("#")[0].split()
            assert {w for w in words[1:] if w.islower() and "=" not in w} <= targets, line


@PAGE
def test_every_command_and_option_exists(page: Path) -> None:
    for line in commands(page.read_text(encoding="utf-8")):
        name, options = asked(line)
        assert not options - offered(name), line


@PAGE
def test_every_block_is_of_its_language(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for code in code_blocks(text, "python"):
        compile(code, str(page), "exec")
    for code in code_blocks(text, "json"):
        json.loads(code)


def test_the_deploy_toml_that_is_shown_is_valid(tmp_path: Path) -> None:
    (code,) = code_blocks(read("docs/deploy/index.md"), "toml")
    (tmp_path / "deploy.toml").write_text(code, encoding="utf-8")
    config = load("sagemaker", tmp_path / "deploy.toml").sagemaker
    assert config
    assert config.environment == {"ONNXFERRY_ENGINE_THREADS": "2"}


def inline(text: str) -> list[str]:
    """What stands in backticks within a line."""
    return re.findall(r"`([^`\n]+)`", text)


def commands(text: str) -> Iterator[str]:
    """The calls of the command line in `text`, each without the name of the program."""
    shown = [line for block in code_blocks(text) for line in joined(block)]
    for line in (*shown, *inline(text)):
        found = COMMAND.match(line.strip())
        if found and found[1] not in ("", "...") and not PLACEHOLDER.match(found[1]):
            yield found[1]


def joined(block: str) -> list[str]:
    """The lines of a block, continued ones as one."""
    return block.replace("\\\n", " ").splitlines()


def asked(line: str) -> tuple[str, set[str]]:
    """The command and the options of a call; without a command it is deploy's."""
    words = shlex.split(line.partition(" -- ")[0], comments=True)  # then another command's
    name = words[0] if not words[0].startswith("-") else "deploy"
    name += " --server" if name == "benchmark" and "--server" in words else ""  # another command
    return name, {word.partition("=")[0] for word in words if re.match("-{1,2}[a-z]", word)}


def offered(name: str) -> set[str]:
    """The options of a command that are not hidden. A test fails where there is no such command."""
    context = click.Context(cli)
    command = module_command(name) or cli.get_command(context, name)
    assert command, f"no command {name}"
    inner = click.Context(command)
    shown = [p for p in command.get_params(inner) if not getattr(p, "hidden", False)]
    own = [p for p in cli.get_params(context) if name == "deploy"]
    return {option for parameter in (*shown, *own) for option in parameter.opts}


MODULES = {
    "benchmark --server": "benchmark.server.__main__",
    "benchmark.batch": "benchmark.batch.__main__",
    "overhead": "overhead",
    "peak_memory": "peak_memory",
}


def module_command(name: str) -> click.Command | None:
    """Of a script that has no command of its own in the group."""
    if name not in MODULES:
        return None
    found: click.Command = resolve_name(f"onnxferry.scripts.{MODULES[name]}:command")
    return found


def test_the_worked_adapter_answers(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "scoring")  # as the adapter sets it; and as before afterwards
    tiny.question_answering(tmp_path / "model")
    space: dict[str, Any] = {"__file__": str(tmp_path / "app.py")}
    exec(snippet("docs/contributing.md", "def predict("), space)  # noqa: S102
    body = json.dumps({"inputs": tiny.QUESTION}).encode()
    status, headers, answer = space["predict"](body, {"content-type": "application/json"})
    assert (status, headers["Content-Type"]) == (200, "application/json")
    assert json.loads(answer)["answer"] == "Rebecca"


def test_the_worked_task_answers(tmp_path: Path) -> None:
    folder = tiny.text_classification(tmp_path)
    space: dict[str, Any] = {}
    exec(snippet("docs/contributing.md", "class TextRanking"), space)  # noqa: S102
    spec = replace(ModelSpec.read(folder), settings={"max_length": 16})
    task = space["TextRanking"](spec, Session(folder / "model.onnx", spec.engine), folder)
    documents = ["an awful day", "a great day", "a day"]
    answer = task.answer({"inputs": {"query": "good", "documents": documents}})
    assert sorted(entry["index"] for entry in answer) == [0, 1, 2]
    assert [entry["score"] for entry in answer] == sorted(
        (e["score"] for e in answer), reverse=True
    )

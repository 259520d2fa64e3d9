"""The one command line: `onnxferry`, `python deploy.py` and `python -m scripts.X`."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import click
import pytest
from click.testing import CliRunner, Result

from onnxferry.cli import COMMANDS, cli
from onnxferry.system.options import FerryCommand
from tests import tiny

ROOT = Path(__file__).parent.parent


def invoke(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, [str(word) for word in words], prog_name="onnxferry")


def run(*words: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, *words], cwd=folder, env=env, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_the_table_says_what_the_command_itself_says(name: str) -> None:
    command = cli.get_command(click.Context(cli), name)
    assert isinstance(command, FerryCommand)
    said = " ".join((command.help or "").split())
    assert said.startswith(COMMANDS[name][1].removesuffix("."))
    assert {"--verbose", "--log-file"} <= {word for param in command.params for word in param.opts}


def test_the_version_is_the_distributions() -> None:
    assert invoke("--version").output == f"onnxferry, version {version('onnxferry')}\n"


@pytest.mark.parametrize(("typed", "meant"), [("pakcage", "package"), ("roll-back", "rollback")])
def test_an_unknown_command_names_the_nearest(typed: str, meant: str) -> None:
    result = invoke(typed)
    assert result.exit_code == 2
    assert result.stderr.count(f"No such command '{typed}'. Did you mean '{meant}'?") == 1


def test_a_word_like_no_command_gets_no_suggestion() -> None:
    assert invoke("xyz").stderr.endswith("No such command 'xyz'.\n")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-m", "onnxferry", "package"], "python -m onnxferry prepare"),
        ([str(ROOT / "deploy.py"), "package"], "python deploy.py prepare"),
        (["-m", "scripts.package"], "python -m scripts.prepare"),
        (["-c", "from onnxferry.cli import main; main()", "package"], "onnxferry prepare"),
    ],
)
def test_a_message_names_the_command_that_was_typed(
    words: list[str], said: str, tmp_path: Path
) -> None:
    done = run(*words, "--target", "local", folder=tmp_path)
    assert done.returncode == 2
    assert f"make one: {said}, or give --model DIR" in done.stderr


@pytest.mark.parametrize("command", [("package", "--target", "local"), ("serve",)])
def test_two_model_directories_are_refused(command: tuple[str, ...], tmp_path: Path) -> None:
    result = invoke(*command, tmp_path / "one", "--model", tmp_path / "two")
    assert result.exit_code == 2
    said = f"give MODEL_DIR ({tmp_path / 'one'}) or --model ({tmp_path / 'two'}), not both"
    assert said in result.stderr


def test_scripts_and_onnxferry_take_the_same_words(tmp_path: Path) -> None:
    model = tiny.question_answering(tmp_path / "model")
    words = ("--target", "local", "--out", str(tmp_path), "--output", "json")
    one = run("-m", "scripts.package", str(model), *words, folder=tmp_path)
    two = run("-m", "onnxferry", "package", "--model", str(model), *words, folder=tmp_path)
    assert one.returncode == two.returncode == 0
    assert one.stdout == two.stdout


def test_a_known_error_shows_its_traceback_by_verbose_alone(tmp_path: Path) -> None:
    words = ("package", tmp_path / "none", "--target", "local")
    short, long = invoke(*words), invoke(*words, "-v")
    assert short.exit_code == long.exit_code == 2
    assert "Traceback" not in short.stderr
    assert "UsageError" in long.stderr
    for result in (short, long):
        assert f"error: {tmp_path / 'none'}: no such folder" in result.stderr


def test_a_log_file_keeps_the_stages_and_the_traceback_of_each_run(tmp_path: Path) -> None:
    model, log = tiny.question_answering(tmp_path / "model"), tmp_path / "log"
    words = ("package", "--target", "local", "--out", tmp_path, "--log-file", log)
    assert invoke(*words, "--model", model).exit_code == 0
    assert invoke(*words, "--model", tmp_path / "none").exit_code == 2
    text = log.read_text()
    assert f"check {model}: " in text
    assert "Traceback" in text
    assert f"UsageError: {tmp_path / 'none'}: no such folder" in text


def test_a_log_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    log = tmp_path / "none" / "log"
    result = invoke("package", "--target", "local", "--model", tmp_path, "--log-file", log)
    assert result.exit_code == 1
    assert f"error: {log}: No such file or directory" in result.stderr


def test_a_package_and_a_model_are_not_rehearsed_at_once(tmp_path: Path) -> None:
    for words in ([], [str(tmp_path), "--target", "local"]):
        result = invoke("rehearse", *words)
        assert result.exit_code == 2
        assert "give a built PACKAGE, or --target to build one of --model" in result.stderr


def test_the_shell_completes_commands_and_targets(tmp_path: Path) -> None:
    main = ("-c", "import sys; sys.argv[0] = 'onnxferry'; from onnxferry.cli import main; main()")
    script = run(*main, folder=tmp_path, _ONNXFERRY_COMPLETE="bash_source")
    assert "complete" in script.stdout
    for words, completed in (("re", "rehearse"), ("status --target a", "azureml")):
        typed = {"COMP_WORDS": f"onnxferry {words}", "COMP_CWORD": str(len(words.split()))}
        done = run(*main, folder=tmp_path, _ONNXFERRY_COMPLETE="bash_complete", **typed)
        assert done.stdout == f"plain,{completed}\n"


def test_serve_names_the_extra_where_the_server_is_not_installed(tmp_path: Path) -> None:
    code = "import sys; sys.modules['uvicorn'] = None; from onnxferry.cli import main; main()"
    done = run("-c", code, "serve", str(tmp_path), folder=tmp_path)
    assert done.returncode == 2
    assert "pip install 'onnxferry[local]'" in done.stderr

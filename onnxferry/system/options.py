"""The options and the command class that several commands share, each declared once.

Every command is made by `@command()`: it takes -v and --log-file, and a known failure ends it by a
message and an exit code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from onnxferry.system.errors import UsageError
from onnxferry.system.exits import cli_errors, program
from onnxferry.system.log import logging_to

MODELS = Path("build") / "models"
PATH = click.Path(path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
COUNT = click.IntRange(1)
F = TypeVar("F", bound=Callable[..., Any])

verbose = click.Option(
    ["-v", "--verbose"], is_flag=True, help="Show what is done in detail, and tracebacks."
)
log_file = click.Option(
    ["--log-file"], type=FILE, help="Append all of it to a file, tracebacks too."
)


class FerryCommand(click.Command):
    """A command with -v/--verbose and --log-file, whose known failures end by a message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [verbose, log_file]

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command. Raises SystemExit where it fails in a known way."""
        flags = ctx.params
        with cli_errors(), logging_to(flags.pop("log_file"), verbose=flags.pop("verbose")):
            return super().invoke(ctx)


def command(name: str | None = None, **attrs: Any) -> Callable[[Callable[..., Any]], FerryCommand]:
    """click.command for this project: shows defaults, and -h is --help."""
    settings = {"help_option_names": ["-h", "--help"], "show_default": True}
    return click.command(name, cls=FerryCommand, context_settings=settings, **attrs)


def apply(*options: Callable[[F], F]) -> Callable[[F], F]:
    """The options as one decorator, listed by --help in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def target(names: Iterable[str], *, required: bool = True) -> Callable[[F], F]:
    """--target, one of `names`."""
    return click.option(
        "--target", required=required, type=click.Choice([*names]), help="The platform."
    )


model = click.option("--model", type=PATH, help=f"Model directory; default: the one in {MODELS}.")
served_model = click.option(
    "--model", type=FOLDER, required=True, help="The model directory that is served."
)
out = click.option("--out", default=Path("build"), type=PATH, help="Where packages go.")
python = click.option(
    "--python", help="Python version of the host, like 3.12 (default: the platform's)."
)
output = click.option(
    "--output", type=click.Choice(["text", "json"]), default="text", help="Of standard output."
)
name = click.option(
    "--name", "--endpoint-name", "-n", help="The endpoint's name (default: made of the model's)."
)
config = click.option(
    "--config", "file", default=Path("deploy.toml"), type=PATH, help="The settings' file."
)
settings = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="A setting of deploy.toml, like region=eu-west-1. May be repeated.",
)
yes = click.option("--yes", is_flag=True, help="Do not ask.")


def only_model() -> Path:
    """The one model directory below build/models. Raises UsageError when there is none, or more
    than one."""
    found = sorted(path.parent for path in MODELS.glob("*/model_spec.json"))
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(map(str, found))
        raise UsageError(f"several model directories; choose one with --model: {listed}")
    raise UsageError(
        f"no model directory in {MODELS}; make one: {program('prepare')}, or give --model DIR"
    )

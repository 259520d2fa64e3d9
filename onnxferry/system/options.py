"""What all commands share: `@command()`, which makes each, and options."""

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

_DETAIL = "Show what is done in detail, and tracebacks."
LOGGING = [
    click.Option(["-v", "--verbose"], is_flag=True, help=_DETAIL),
    click.Option(["--log-file"], type=FILE, help="Append all of that to a file."),
]


class FerryCommand(click.Command):
    """A command with -v and --log-file, whose known failures end by a message."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += LOGGING

    def invoke(self, ctx: click.Context) -> Any:
        """Raises SystemExit where it fails in a known way."""
        flags = ctx.params
        with cli_errors(), logging_to(flags.pop("log_file"), verbose=flags.pop("verbose")):
            return super().invoke(ctx)


def command(name: str | None = None, **attrs: Any) -> Callable[[Callable[..., Any]], FerryCommand]:
    """click.command for this project: shows defaults, and -h is --help."""
    settings = {"help_option_names": ["-h", "--help"], "show_default": True}
    return click.command(name, **{"cls": FerryCommand, "context_settings": settings, **attrs})


def apply(*options: Callable[[F], F]) -> Callable[[F], F]:
    """The options as one decorator, listed by --help in this order."""

    def decorate(function: F) -> F:
        for option in reversed(options):
            function = option(function)
        return function

    return decorate


def target(names: Iterable[str], *, required: bool = True) -> Callable[[F], F]:
    """--target, one of `names`."""
    choice = click.Choice([*names])
    return click.option("--target", required=required, type=choice, help="The platform.")


_SETTING = "A setting of deploy.toml, like region=eu-west-1. May be repeated."
model_dir = click.argument("model_dir", required=False, type=PATH)
model = click.option("--model", type=PATH, help=f"Model directory; default: the one in {MODELS}.")
served_model = click.option("--model", type=FOLDER, required=True, help="Model directory to serve.")
out = click.option("--out", default="build", type=PATH, help="Where packages go.")
python = click.option("--python", help="Python of the host, like 3.12 (default: the platform's).")
_IMAGE = (
    "Container, other than the platform's default: prebuilt (azureml), azureml (mlflow); to"
    " rehearse in, also sagemaker (mlflow)."
)
image = click.option("--image", default="", show_default=False, help=_IMAGE)
FORMATS = click.Choice(["text", "json"])
output = click.option("--output", type=FORMATS, default="text", help="Of standard output.")
name = click.option("--name", "--endpoint-name", "-n", help="Endpoint (default: the model's name).")
config = click.option("--config", "file", default="deploy.toml", type=PATH, help="Settings' file.")
settings = click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help=_SETTING)
yes = click.option("--yes", is_flag=True, help="Do not ask.")
force = click.option("--force", is_flag=True, help="Take the lease of a run that is at work.")


def only_model() -> Path:
    """The one model directory below build/models. Raises UsageError unless there is one."""
    found = sorted(path.parent for path in MODELS.glob("*/model_spec.json"))
    if len(found) == 1:
        return found[0]
    if found:
        listed = ", ".join(map(str, found))
        raise UsageError(f"several model directories; choose one with --model: {listed}")
    how = f"make one: {program('prepare')}, or give --model DIR"
    raise UsageError(f"no model directory in {MODELS}; {how}")

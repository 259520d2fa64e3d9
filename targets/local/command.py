"""The command line of the server, the same in `onnxferry serve` and in a package's server.py."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from onnxferry.targets.local.config import ModelConfig, ServerConfig

OPTIONS = (
    click.option("--host", default="127.0.0.1", help="The address to listen on."),
    click.option("--port", default=8080, type=click.IntRange(0, 65535), help="The port."),
    click.option(
        "--workers",
        default=0,
        type=click.IntRange(0, 256),
        help="Scoring processes, which share the CPUs; 0: threads of this process.",
    ),
)


def configured(folders: tuple[Path, ...], flags: dict[str, Any]) -> ServerConfig:
    """What the flags of OPTIONS say, for the model directories `folders`."""
    return ServerConfig(models=tuple(ModelConfig(path=folder) for folder in folders), **flags)


def program(model: Path) -> click.Command:
    """A command that serves the model in MODEL_DIR, or else in `model`."""

    @click.command(help=program.__doc__)
    def command(**flags: Any) -> None:
        from onnxferry.targets.local.server import serve

        serve(configured((Path(os.environ.get("MODEL_DIR") or model),), flags))

    for option in reversed(OPTIONS):
        command = option(command)
    return command

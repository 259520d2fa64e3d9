"""onnxferry serve: one model directory, served on this machine by the local target's server."""

from __future__ import annotations

from pathlib import Path

import click

from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS


@options.command()
@click.argument("model_dir", required=False, type=options.PATH)
@options.model
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", default=8080, type=click.IntRange(1, 65535), help="The port.")
def command(model_dir: Path | None, model: Path | None, host: str, port: int) -> None:
    """Serve MODEL_DIR on this machine, as the local target's package does, until Ctrl-C."""
    try:
        from onnxferry.targets.local import server
    except ModuleNotFoundError as e:
        raise UsageError(
            f"serve needs the library {e.name}, which is not installed: pip install"
            f" 'onnxferry[{TARGETS['local'].extra}]'"
        ) from e
    server.serve(model_dir or model or options.only_model(), host, port)


if __name__ == "__main__":
    command()

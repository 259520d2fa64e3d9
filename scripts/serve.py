"""onnxferry serve: one model directory, served on this machine by the local target's server."""

from __future__ import annotations

from pathlib import Path

import click

from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS


@options.command()
@options.model_dir
@options.model
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", default=8080, type=click.IntRange(1, 65535), help="The port.")
def command(model_dir: Path | None, model: Path | None, host: str, port: int) -> None:
    """Serve MODEL_DIR on this machine, as the local target's package does, until Ctrl-C."""
    folder = options.chosen_model(model_dir, model)
    try:
        from onnxferry.targets.local import server
    except ModuleNotFoundError as e:
        needed = f"pip install 'onnxferry[{TARGETS['local'].extra}]'"
        raise UsageError(f"serve needs {e.name}, which is not installed: {needed}") from e
    server.serve(folder, host, port)


if __name__ == "__main__":
    command()

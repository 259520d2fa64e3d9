"""onnxferry serve: one model directory, served on this machine by the local target's server."""

from __future__ import annotations

from pathlib import Path

import click

from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS


@options.command()
@options.model_dir
@options.apply(options.model, options.config)
@click.option("--host", default="127.0.0.1", help="The address to listen on.")
@click.option("--port", default=8080, type=click.IntRange(1, 65535), help="The port.")
def command(model_dir: Path | None, model: Path | None, file: Path, host: str, port: int) -> None:
    """Serve MODEL_DIR on this machine, as the local target's package does, until Ctrl-C."""
    from onnxferry.scripts.model_table import chosen

    folder = chosen(model_dir, model, file)
    try:
        from onnxferry.targets.local import server
    except ModuleNotFoundError as e:
        needed = f"pip install 'onnxferry[{TARGETS['local'].extra}]'"
        raise UsageError(f"serve needs {e.name}, which is not installed: {needed}") from e
    server.serve(folder, host, port)


if __name__ == "__main__":
    command()

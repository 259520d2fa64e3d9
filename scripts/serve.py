"""onnxferry serve: model directories, served on this machine by the local target's server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS
from onnxferry.targets.local.command import OPTIONS, configured


@options.command()
@options.model_dir
@options.apply(options.model, options.config)
@options.apply(*OPTIONS)
def command(model_dir: Path | None, model: Path | None, file: Path, **flags: Any) -> None:
    """Serve MODEL_DIR on this machine, as the local target's package does, until Ctrl-C."""
    from onnxferry.scripts.model_table import chosen

    folder = chosen(model_dir, model, file)
    try:
        from onnxferry.targets.local import server
    except ModuleNotFoundError as e:
        needed = f"pip install 'onnxferry[{TARGETS['local'].extra}]'"
        raise UsageError(f"serve needs {e.name}, which is not installed: {needed}") from e
    server.serve(configured((folder,), flags))


if __name__ == "__main__":
    command()

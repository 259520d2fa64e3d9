"""onnxferry serve: model directories, served on this machine by the local target's server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from onnxferry.system import options
from onnxferry.system.errors import UsageError
from onnxferry.targets import TARGETS
from onnxferry.targets.local.command import OPTIONS, configured


@options.command()
@options.apply(*OPTIONS)
@options.model
def command(model: Path | None, **given: Any) -> None:
    """Serve model directories on this machine, as the local target's package does, until Ctrl-C.

    Without a directory it is --model, the one of deploy.toml, or the only one in build/models. Each
    option is also a variable, like ONNXFERRY_SERVER_PORT; ONNXFERRY_SERVER_KEYS holds API keys.
    """
    from onnxferry.scripts.model_table import chosen

    if model and (named := given["models"]):
        raise UsageError(f"give MODEL_DIR ({' '.join(named)}) or --model ({model}), not both")
    given["models"] = (str(model),) if model else given["models"]
    config, notes = configured(default=lambda: chosen(None, None, Path("deploy.toml")), **given)
    try:
        from onnxferry.targets.local import server
    except ModuleNotFoundError as e:
        needed = f"pip install 'onnxferry[{TARGETS['local'].extra}]'"
        raise UsageError(f"serve needs {e.name}, which is not installed: {needed}") from e
    server.serve(config, notes)


if __name__ == "__main__":
    command()

"""The name under which a model is live, where neither a flag nor deploy.toml gives one."""

from __future__ import annotations

from pathlib import Path

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec
from onnxferry.scripts.package.endpoint_name import endpoint_name as name_of
from onnxferry.system.errors import UsageError


def endpoint_name(model_dir: Path) -> str:
    """Made of the model's name: 3 to 32 letters, digits and hyphens, which all platforms take."""
    try:
        return name_of(ModelSpec.read(model_dir).name)
    except ModelError as e:
        raise UsageError(
            f"{e}; or name the endpoint: --name, or name in [model] of deploy.toml"
        ) from e

"""deploy.toml's table [model]: which model directory is used, or what it is prepared from."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
from pydantic import BaseModel, Field, StringConstraints

from onnxferry.system.errors import UsageError
from onnxferry.system.options import only_model
from onnxferry.system.text_files import read_text

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Name = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z0-9-]{1,30}[a-zA-Z0-9]$")]
VARIABLES = "ONNXFERRY_MODEL_"


class ModelTable(BaseModel):
    """What is deployed. With `source` it is prepared first, where the source or what is said of it
    here has changed; the keys below `source` are flags of `prepare`."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    path: Path | None = None
    """Model directory; default: the only one in build/models, or there the name of the source."""
    name: Name | None = None
    """The endpoint's name: 3-32 letters, digits and hyphens; default: made of the model's name."""
    python: str | None = None
    """Python of the host, like "3.12"; default: the platform's."""
    source: str | None = None
    """What is prepared: a model of the hub (org/name or org/name@revision), a folder, or an .onnx
    file."""
    file: str | None = None
    """Which .onnx file of the source, where it holds several."""
    task: str | None = None
    """Task; default: what the source's configuration says."""
    adapter: Path | None = None
    """PEFT adapter folder, merged into the model."""
    tokenizer: Path | None = None
    """Tokenizer folder, where the source holds none."""
    labels: Path | None = None
    """Names of the outputs: one a line, or a JSON list."""
    settings: Path | None = None
    """JSON object of settings that override the derived ones."""
    precision: str | None = None
    """auto, fp32 or int8; default: auto."""
    variant: str | None = None
    """Only this variant, by its name in the report."""
    cpu: str | None = None
    """What int8 is made for: any, here or a kind; default: any."""
    data: Path | None = None
    """Evaluation set: the gate is a drop of the task's metric."""
    limit: int | None = Field(None, ge=1)
    """Items of `data` that are asked."""
    max_metric_drop: str | float | None = None
    """Largest drop of a metric, like "1%"; default: 1%."""
    min_agreement: float | None = Field(None, ge=0, le=1)
    """Least share of answers equal to the source model's; default: 0.9."""
    inputs: Path | None = None
    """More inputs to verify on: JSON Lines of request bodies, or a picture folder."""
    golden: Path | None = None
    """The golden request, or a folder of several."""
    exporter: str | None = None
    """torch or optimum; default: torch."""

    @property
    def flags(self) -> dict[str, Any]:
        """The flags of prepare that are given."""
        mine = {"path", "name", "python", "source"}
        return self.model_dump(exclude=mine, exclude_none=True)

    def folder(self) -> Path:
        """The model directory, which may not be there yet. Raises UsageError as `only_model`."""
        if self.path or not self.source:
            return self.path or only_model()
        from onnxferry.scripts.prepare.from_table import default_folder

        return default_folder(self.source)

    def prepared(self) -> Path:
        """The model directory, prepared where it is not as `source` and the flags say."""
        if not self.source:
            return self.folder()
        from onnxferry.scripts.prepare.from_table import prepared

        return prepared(self)


def chosen(model_dir: Path | None, model: Path | None, file: Path) -> Path:
    """The model directory given as MODEL_DIR or by --model, else the one that `file` says. Raises
    UsageError."""
    if model_dir and model:
        raise UsageError(f"give MODEL_DIR ({model_dir}) or --model ({model}), not both")
    return model_dir or model or read(file, os.environ).prepared()


def read_toml(file: Path) -> dict[str, Any]:
    """The data of a file; of one that is not there, none. Raises UsageError."""
    try:
        return tomllib.loads(read_text(file)) if file.exists() else {}
    except tomllib.TOMLDecodeError as e:
        raise UsageError(f"{file}: not readable as TOML: {e}") from e


def read(file: Path, environment: Mapping[str, str]) -> ModelTable:
    """The table of `file`, under the variables ONNXFERRY_MODEL_*. Raises UsageError."""
    table, known = read_toml(file).get("model", {}), ModelTable.model_fields
    variables = {key: environment.get(VARIABLES + key.upper()) for key in known}
    given = {key: value for key, value in variables.items() if value is not None}
    try:
        return ModelTable.model_validate({**table, **given} if isinstance(table, dict) else table)
    except pydantic.ValidationError as e:
        lines = (f"{'.'.join(map(str, m['loc']))}: {m['msg']}" for m in e.errors())
        known_keys = ", ".join(known)
        listed = "".join(f"\n  model.{line}" for line in lines)
        raise UsageError(f"{file} is not valid:{listed}\nknown keys: {known_keys}") from e

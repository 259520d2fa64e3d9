"""One file of a server's settings: TOML, YAML or JSON, or the YAML of a DeepSparse Server."""

from __future__ import annotations

import contextlib
import difflib
import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pydantic

from onnxferry.targets.local.config import ModelConfig, ServerConfig

_PATHS = ("keys_file", "tls_certificate", "tls_key")


class ConfigError(ValueError):
    """A setting or a file that cannot be used; names both."""


def read(path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The settings in a file, by the names of ServerConfig's fields, and a sentence for each that
    means nothing here. Paths are from the file's folder. Raises ConfigError."""
    data = _parsed(path)
    if not isinstance(data, dict):
        raise ConfigError(f"{path}: expected a table of settings, got {type(data).__name__}")
    if "endpoints" in data:
        return _deepsparse(data, path)
    for name in _PATHS:
        if isinstance(data.get(name), str):
            data[name] = path.parent / data[name]
    if isinstance(data.get("models"), list):
        data["models"] = [_beside(model, path.parent) for model in data["models"]]
    return data, ()


def checked(settings: Mapping[str, Any], where: str = "") -> ServerConfig:
    """The settings as a ServerConfig. Raises ConfigError that names the setting."""
    try:
        return ServerConfig.model_validate(settings)
    except pydantic.ValidationError as e:
        told = "; ".join(map(_told, e.errors(include_url=False)))
        raise ConfigError(f"{where}: {told}" if where else told) from e


def _parsed(path: Path) -> Any:
    try:
        text = path.read_text(encoding="utf-8")
        return _toml(text) if path.suffix == ".toml" else _yaml(text)
    except OSError as e:
        raise ConfigError(f"{path}: {e.strerror}") from e
    except ValueError as e:
        raise ConfigError(f"{path}: not readable ({e})") from e


def _toml(text: str) -> Any:
    with contextlib.suppress(ModuleNotFoundError):
        return importlib.import_module("tomllib").loads(text)
    try:  # Python 3.10
        return importlib.import_module("tomli").loads(text)
    except ModuleNotFoundError as e:
        raise ValueError("TOML needs Python 3.11, or pip install tomli; or write YAML") from e


def _yaml(text: str) -> Any:
    import yaml  # type: ignore[import-untyped]

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ValueError(str(e)) from e


def _beside(model: Any, folder: Path) -> Any:
    """A model's entry, a path alone or a table, with its path from the file's folder."""
    entry = {"path": model} if isinstance(model, str) else model
    if not isinstance(entry, dict) or not isinstance(entry.get("path"), str):
        return entry
    return {**entry, "path": folder / entry["path"]}


def _deepsparse(data: dict[str, Any], path: Path) -> tuple[dict[str, Any], tuple[str, ...]]:
    """A DeepSparse Server's configuration; its models' paths are from the working directory."""
    from onnxferry.pipelines.server_config import parse
    from onnxferry.scoring.errors import ScoringError

    try:
        found = parse(data)
    except ScoringError as e:
        raise ConfigError(f"{path}: {e}") from e
    models = [
        ModelConfig(path=Path(e.model), name=e.name, task=e.task, arguments=dict(e.arguments))
        for e in found.endpoints
    ]
    routes = [
        "" if e.path == f"/{e.name}" else f"/v2/models{e.path}/infer" for e in found.endpoints
    ]
    models = [m.model_copy(update={"route": r}) for m, r in zip(models, routes, strict=True)]
    settings = {"models": models, "port": found.port, "threads": found.num_cores or 0}
    notes = list(found.notes)
    if found.num_workers:
        notes.append("'num_workers' means nothing here: requests at once share the engine's runs")
    return {**settings, **({"host": found.host} if found.host else {})}, tuple(notes)


def _told(error: Any) -> str:
    """One error of pydantic's in a sentence; a name that is not known gets the one that is near."""
    place = ".".join(map(str, error["loc"]))
    if error["type"] == "extra_forbidden":
        known = (ModelConfig if error["loc"][0] == "models" else ServerConfig).model_fields
        near = difflib.get_close_matches(str(error["loc"][-1]), known, 1)
        hint = f"did you mean '{near[0]}'? " if near else ""
        return f"'{place}' is not known; {hint}known: {', '.join(known)}"
    message = error["msg"].removeprefix("Value error, ")
    return f"'{place}': {message}" if place else message

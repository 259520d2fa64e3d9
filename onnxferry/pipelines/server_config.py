"""DeepSparse Server's configuration, read as it is: its YAML file, or the dict that is in it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxferry.pipelines import tasks
from onnxferry.pipelines.errors import PipelineError, nearest
from onnxferry.scoring import validation
from onnxferry.scoring.errors import ScoringError
from onnxferry.scoring.validation import Parameter

PORT = 5543


@dataclass(frozen=True)
class Endpoint:
    """`model`: an .onnx file or its folder. `arguments`: of bind() and Pipeline.create, with
    batch_size and what `bucketing` says among them."""

    name: str
    route: str | None
    task: str
    model: str
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def path(self) -> str:
        """Where it answers below /v2/models: its route, or its name."""
        return "/" + (self.route or self.name).strip("/")


@dataclass(frozen=True)
class ServerConfig:
    """`notes`: a sentence about each key that means nothing here."""

    endpoints: tuple[Endpoint, ...]
    num_cores: int | None = None
    num_workers: int | None = None
    integration: str = "local"
    host: str | None = None
    port: int = PORT
    notes: tuple[str, ...] = ()


_ANY = Parameter(lambda value, where: value)
SERVER: Mapping[str, Parameter] = {
    "num_cores": Parameter(validation.positive),
    "num_workers": Parameter(validation.positive),
    "integration": Parameter(validation.one_of("local", "sagemaker", "openai"), "local"),
    "host": Parameter(validation.string),
    "port": Parameter(validation.positive, PORT),
}
ENDPOINT: Mapping[str, Parameter] = {
    "name": Parameter(validation.text),
    "route": Parameter(validation.text),
    "task": Parameter(validation.text),
    "model": Parameter(validation.text),
    "batch_size": Parameter(validation.positive, 1),
    "bucketing": _ANY,
    "kwargs": _ANY,
}
_LOGS = "metrics are at /metrics, and each request leaves a line in the log"
NOTHING: Mapping[str, str] = {  # keys that mean nothing here -> why
    "loggers": _LOGS,
    "system_logging": _LOGS,
    "logging_config": _LOGS,
    "data_logging": "payloads are not logged",
    "engine_thread_pinning": "ONNX Runtime's threads are not pinned; pin the process by taskset",
    "pytorch_num_threads": "PyTorch is not used",
    "middlewares": "there are none",
    "add_middlewares": "there are none",
}


def is_server_config(data: Any) -> bool:
    """Whether a configuration is one of DeepSparse Server: it has endpoints."""
    return isinstance(data, Mapping) and "endpoints" in data


def server_config(path: str | Path) -> ServerConfig:
    """The configuration in a YAML or JSON file. Raises PipelineError that names file and key."""
    data = read_file(Path(path))
    try:
        return parse(data)
    except ScoringError as e:
        raise PipelineError(f"{path}: {e}") from e


def read_file(path: Path) -> Any:
    """What a YAML or JSON file holds. Raises PipelineError."""
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text) if path.suffix == ".json" else _yaml(text)
    except (OSError, ValueError) as e:
        raise PipelineError(f"{path}: not readable ({e})") from e


def _yaml(text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError as e:
        raise PipelineError("a YAML file needs PyYAML: pip install PyYAML") from e
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as e:
        raise ValueError(f"no YAML: {e}") from e


def parse(data: Any) -> ServerConfig:
    """The configuration in a dict. Raises ScoringError that names the key."""
    given = validation.mapping(data, "the configuration")
    values, notes = _values(given, SERVER, "")
    entries = given.get("endpoints")
    if not isinstance(entries, list) or not entries:
        raise PipelineError("'endpoints' must be a list of at least one endpoint")
    endpoints, used = [], Counter[str]()
    for i, entry in enumerate(entries):
        endpoint, said = _endpoint(entry, f"endpoints[{i}]", used)
        endpoints.append(endpoint)
        notes += said
    _check_apart(endpoints)
    return ServerConfig(tuple(endpoints), notes=tuple(notes), **values)


def _values(
    given: Mapping[str, Any], known: Mapping[str, Parameter], where: str
) -> tuple[dict[str, Any], list[str]]:
    prefix = f"{where}." if where else ""
    notes = [
        f"'{prefix}{key}' means nothing here: {NOTHING[key]}" for key in given if key in NOTHING
    ]
    for key in given:
        if key not in (*known, *NOTHING, "endpoints"):
            raise PipelineError(f"'{prefix}{key}' is not known; {nearest(str(key), known)}")
    return {key: entry.take(given, key, prefix) for key, entry in known.items()}, notes


def _endpoint(data: Any, where: str, used: Counter[str]) -> tuple[Endpoint, list[str]]:
    given = validation.mapping(data, f"'{where}'")
    values, notes = _values(given, ENDPOINT, where)
    for key in ("task", "model"):
        if not values[key]:
            raise PipelineError(f"'{where}.{key}' is missing")
    task = values["task"]
    tasks.find(task)
    name = values["name"] or f"{task}-{used[task]}"
    used[task] += values["name"] is None
    kwargs = validation.mapping(values["kwargs"] or {}, f"'{where}.kwargs'")
    buckets = _bucketing(values["bucketing"], f"{where}.bucketing")
    arguments = {"batch_size": values["batch_size"], **buckets, **kwargs}
    return Endpoint(name, values["route"], task, values["model"], arguments), notes


def _bucketing(value: Any, where: str) -> dict[str, Any]:
    """The argument that stands for a list of input sizes."""
    if value is None:
        return {}
    sizes = validation.mapping(value, f"'{where}'")
    if lengths := sizes.get("sequence_lengths"):
        return {"sequence_length": lengths}
    if images := sizes.get("image_sizes"):
        if len(images) > 1:
            raise PipelineError(f"'{where}.image_sizes' holds several sizes; one is taken")
        return {"image_size": images[0]}
    raise PipelineError(f"'{where}' must hold sequence_lengths or image_sizes")


def _check_apart(endpoints: Sequence[Endpoint]) -> None:
    """Raise PipelineError where two endpoints have one name or route."""
    for key, values in (
        ("name", [e.name for e in endpoints]),
        ("route", [e.path for e in endpoints]),
    ):
        if again := [value for value, times in Counter(values).items() if times > 1]:
            raise PipelineError(f"several endpoints have the {key} '{again[0]}'")

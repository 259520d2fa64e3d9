"""ModelSpec, the manifest beside model.onnx.

`model_spec.json` (format 1) says everything that a host must know of a model and cannot read from
the graph: how inputs become tensors (`settings`, by task), what the outputs mean (`labels`), what a
request may cost (`limits`), what of a host it may use (`engine`), and one `golden` request with its
answer, by which a deployment proves itself. `provenance` is the record of how the model was made;
scoring carries it and does not read it.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from types import UnionType
from typing import Any

from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import ModelError, variable
from onnxferry.scoring.wire import JSON, Request

FORMAT = 1
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
SPEC_FILE = "model_spec.json"


@dataclass(frozen=True)
class Tensor:
    """One input or output of the graph; a dimension is a size or a name (dynamic)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Limits:
    """What one request may cost. Checked before the work is done. `body_bytes` holds for the body
    as it comes and for what it is when decompressed."""

    body_bytes: int = 5_000_000  # under SageMaker's 6 MB, the smallest of the platforms' limits
    items: int = 1024
    tokens: int = 100_000  # of one item, before it is cut or read through windows
    pixels: int = 50_000_000  # of one picture

    def overridden(self, environment: Mapping[str, str]) -> Limits:
        """These limits, but for those that ONNXFERRY_LIMIT_* variables of `environment` set.

        Raises ModelError that names the variable whose value is no integer of at least 1, or whose
        limit is unknown.
        """
        names = {variable(f.name): f.name for f in fields(Limits)}
        given = {
            name: value for name, value in environment.items() if name.startswith(variable(""))
        }
        for name, value in given.items():
            if name not in names:
                raise ModelError(f"{name} sets no limit; known: {', '.join(names)}")
            if not re.fullmatch("[0-9]{1,18}", value.strip()) or not int(value):
                raise ModelError(f"{name} must be an integer of at least 1, got '{value[:40]}'")
        return replace(self, **{names[name]: int(value) for name, value in given.items()})


@dataclass(frozen=True)
class Golden:
    """A request that every deployment answers before it takes traffic, and the answer as JSON
    data."""

    request: Request
    answer: Any


@dataclass(frozen=True)
class ModelSpec:
    name: str
    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    labels: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    limits: Limits = field(default_factory=Limits)
    engine: EngineOptions = field(default_factory=EngineOptions)
    golden: Golden | None = None
    precision: str = "fp32"
    cpu: str | None = None
    opset: int | None = None
    ir_version: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Any] = field(default_factory=dict)

    @staticmethod
    def read(model_dir: Path) -> ModelSpec:
        """The spec of a model directory.

        Raises ModelError that names the file or the key when it is absent, not JSON, or of another
        format.
        """
        path = model_dir / SPEC_FILE
        try:
            text = path.read_bytes()
        except FileNotFoundError as e:
            raise ModelError(
                f"{path}: no {SPEC_FILE}; a model directory holds {MODEL_FILE}, {SPEC_FILE} and,"
                f" for text, {TOKENIZER_FILE}. Make one with: onnxferry prepare MODEL --out"
                f" {model_dir}"
            ) from e
        except OSError as e:
            raise ModelError(f"{path}: not readable as JSON ({e})") from e
        return ModelSpec.parse(text, str(path))

    @staticmethod
    def parse(text: str | bytes, where: str) -> ModelSpec:
        """The spec in the text of a model_spec.json that comes from `where`, named in errors.

        Raises ModelError that names the key when it is not JSON, or of another format.
        """
        try:
            data = json.loads(text)
        except ValueError as e:
            raise ModelError(f"{where}: not readable as JSON ({e})") from e
        return _parse(data, where)

    def to_json(self) -> str:
        """The text of model_spec.json: sorted, indented, with a newline at its end."""
        data = {"format": FORMAT, **asdict(self)}
        data["golden"] = _golden_to_json(self.golden) if self.golden else None
        return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _parse(data: Any, where: str) -> ModelSpec:
    if not isinstance(data, dict):
        raise ModelError(f"{where}: expected a JSON object, got {type(data).__name__}")
    if data.get("format") != FORMAT:
        raise ModelError(
            f"{where}: 'format' is {data.get('format')!r}; this version reads format {FORMAT}"
        )
    known = {f.name for f in fields(ModelSpec)}
    if unknown := set(data) - known - {"format", *_PROVENANCE}:
        raise ModelError(
            f"{where}: unknown key(s) {', '.join(sorted(unknown))}; known:"
            f" {', '.join(sorted(known))}"
        )
    for key in ("name", "task"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise ModelError(f"{where}: '{key}' must be a non-empty string, got {data.get(key)!r}")
    values = {key: value for key, value in data.items() if key in known}
    _check_types(values, where)
    older = {key: data[key] for key in _PROVENANCE if key in data}
    values["provenance"] = {**older, **values.get("provenance", {})}
    _check_kinds(values["provenance"], _PROVENANCE, where)
    try:
        values["labels"] = tuple(values.get("labels") or ())
        for key in ("inputs", "outputs"):
            values[key] = tuple(
                Tensor(t["name"], t["dtype"], tuple(t["shape"])) for t in values.get(key) or ()
            )
        values["limits"] = _limits(values.get("limits") or {})
        values["engine"] = EngineOptions.read(values.get("engine") or {})
        values["golden"] = _golden_from_json(values["golden"]) if values.get("golden") else None
    except (AttributeError, TypeError, KeyError, ValueError) as e:
        raise ModelError(
            f"{where}: malformed labels, inputs, outputs, limits, engine or golden ({e!r})"
        ) from e
    return ModelSpec(**values)


_Kinds = Mapping[str, tuple[type | UnionType, str]]
_TYPES: _Kinds = {
    "settings": (dict, "an object"),
    "files": (dict, "an object"),
    "provenance": (dict, "an object"),
    "labels": (list | None, "a list of strings"),
    "precision": (str, "a string"),
    "cpu": (str | None, "a string"),
    "opset": (int | None, "an integer"),
    "ir_version": (int | None, "an integer"),
}
# keys of `provenance`, which older specs hold at their top level
_PROVENANCE: _Kinds = {
    "source": (dict, "an object"),
    "tools": (dict, "an object"),
    "difference": (dict, "an object"),
    "variants": (list | None, "a list of objects"),
    "fusion": (dict, "an object"),
    "data": (dict, "an object"),
    "measured_on": (dict, "an object"),
}


def _check_kinds(values: Mapping[str, Any], kinds: _Kinds, where: str) -> None:
    for key, (kind, name) in kinds.items():
        if key in values and not isinstance(values[key], kind):
            raise ModelError(f"{where}: '{key}' must be {name}, got {type(values[key]).__name__}")


def _check_types(values: Mapping[str, Any], where: str) -> None:
    _check_kinds(values, _TYPES, where)
    for key, texts in (
        ("labels", values.get("labels") or ()),
        ("files", values.get("files", {}).values()),
    ):
        if odd := [text for text in texts if not isinstance(text, str)]:
            raise ModelError(f"{where}: '{key}' must hold strings, got {type(odd[0]).__name__}")


def _limits(data: Mapping[str, Any]) -> Limits:
    if odd := [key for key, value in data.items() if type(value) is not int or value < 1]:
        raise ValueError(f"limits.{odd[0]} must be an integer of at least 1")
    return Limits(**data)


def _golden_to_json(golden: Golden) -> dict[str, Any]:
    request = golden.request
    try:
        body = {"body": request.body.decode("utf-8")}
    except UnicodeDecodeError:
        body = {"body_base64": base64.b64encode(request.body).decode("ascii")}
    return {"content_type": request.content_type, **body, "answer": golden.answer}


def _golden_from_json(data: Mapping[str, Any]) -> Golden:
    try:
        body = (
            base64.b64decode(data["body_base64"])
            if "body_base64" in data
            else data["body"].encode("utf-8")
        )
    except binascii.Error as e:
        raise ValueError(f"golden.body_base64: {e}") from e
    return Golden(Request(body, data.get("content_type", JSON)), data["answer"])

"""ModelSpec, the manifest beside model.onnx.

`model_spec.json` (format 1) says what a host must know of a model and cannot read from the graph:
how inputs become tensors (`settings`, by task), what the outputs mean (`labels`), what a request
may cost (`limits`), what of a host it may use (`engine`), and a `golden` request with its answer,
by which a deployment is checked. `provenance` is the record of how the model was made and measured,
which scoring does not read.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any

from onnxferry.scoring.engine_options import EngineOptions
from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.limits import Limits
from onnxferry.scoring.wire import JSON, Request

FORMAT = 1
MODEL_FILE = "model.onnx"
TOKENIZER_FILE = "tokenizer.json"
SPEC_FILE = "model_spec.json"


@dataclass(frozen=True)
class Tensor:
    """One input or output of the graph: its numpy dtype, and for each dimension a size or a name
    (dynamic)."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Golden:
    """A request that every deployment answers before it takes traffic, and the answer as JSON
    data."""

    request: Request
    answer: Any

    @staticmethod
    def read(data: Mapping[str, Any]) -> Golden:
        """From model_spec.json. Raises KeyError, TypeError, AttributeError or ValueError."""
        if "body_base64" in data:
            body = base64.b64decode(data["body_base64"])
        else:
            body = data["body"].encode("utf-8")
        return Golden(Request(body, data.get("content_type", JSON)), data["answer"])

    def to_json(self) -> dict[str, Any]:
        """The request's body as text where it is UTF-8, else in base64."""
        try:
            body = {"body": self.request.body.decode("utf-8")}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.request.body).decode("ascii")}
        return {"content_type": self.request.content_type, **body, "answer": self.answer}


@dataclass(frozen=True)
class ModelSpec:
    """`precision` and `cpu` (one of cpu.KINDS; None: any) say what the graph was made for; `files`
    holds the sha256 of each file that a host needs."""

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
        """The spec of a model directory. Raises ModelError when it is absent, or as `parse`."""
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
        """The spec in the text of a model_spec.json that comes from `where`. Raises ModelError that
        names `where` and the key when it is not JSON, or of another format."""
        try:
            data = json.loads(text)
        except ValueError as e:
            raise ModelError(f"{where}: not readable as JSON ({e})") from e
        try:
            return _parse(data)
        except ModelError as e:
            raise ModelError(f"{where}: {e}") from e

    def to_json(self) -> str:
        """The text of model_spec.json: sorted, indented, with a newline at its end."""
        data = {"format": FORMAT, **asdict(self)}
        data["golden"] = self.golden.to_json() if self.golden else None
        return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


_Kinds = Mapping[str, tuple[type | UnionType, str]]
_KINDS: _Kinds = {
    "settings": (dict, "an object"),
    "files": (dict, "an object"),
    "provenance": (dict, "an object"),
    "labels": (list | None, "a list of strings"),
    "precision": (str, "a string"),
    "cpu": (str | None, "a string"),
    "opset": (int | None, "an integer"),
    "ir_version": (int | None, "an integer"),
}
_PROVENANCE: _Kinds = {  # keys of `provenance`, which older specs hold at their top level
    **dict.fromkeys(
        ("source", "tools", "difference", "fusion", "data", "measured_on"), (dict, "an object")
    ),
    "variants": (list | None, "a list of objects"),
}


def _parse(data: Any) -> ModelSpec:
    if not isinstance(data, dict):
        raise ModelError(f"expected a JSON object, got {type(data).__name__}")
    if data.get("format") != FORMAT:
        raise ModelError(f"'format' is {data.get('format')!r}; this version reads format {FORMAT}")
    known = {f.name for f in fields(ModelSpec)}
    if unknown := set(data) - known - {"format", *_PROVENANCE}:
        listed = ", ".join(sorted(known))
        raise ModelError(f"unknown key(s) {', '.join(sorted(unknown))}; known: {listed}")
    for key in ("name", "task"):
        if not isinstance(data.get(key), str) or not data[key]:
            raise ModelError(f"'{key}' must be a non-empty string, got {data.get(key)!r}")
    values = {key: value for key, value in data.items() if key in known}
    _check_kinds(values, _KINDS)
    _check_strings("labels", values.get("labels") or ())
    _check_strings("files", values.get("files", {}).values())
    older = {key: data[key] for key in _PROVENANCE if key in data}
    values["provenance"] = {**older, **values.get("provenance", {})}
    _check_kinds(values["provenance"], _PROVENANCE)
    try:
        return ModelSpec(**{**values, **_objects(values)})
    except (AttributeError, TypeError, KeyError, ValueError) as e:
        raise ModelError(
            f"malformed labels, inputs, outputs, limits, engine or golden ({e!r})"
        ) from e


def _objects(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is not kept as the JSON data that it comes as."""
    tensors = {
        key: tuple(Tensor(t["name"], t["dtype"], tuple(t["shape"])) for t in values.get(key) or ())
        for key in ("inputs", "outputs")
    }
    return {
        **tensors,
        "labels": tuple(values.get("labels") or ()),
        "limits": Limits.read(values.get("limits") or {}),
        "engine": EngineOptions.read(values.get("engine") or {}),
        "golden": Golden.read(values["golden"]) if values.get("golden") else None,
    }


def _check_kinds(values: Mapping[str, Any], kinds: _Kinds) -> None:
    for key, (kind, name) in kinds.items():
        if key in values and not isinstance(values[key], kind):
            raise ModelError(f"'{key}' must be {name}, got {type(values[key]).__name__}")


def _check_strings(key: str, values: Iterable[Any]) -> None:
    if wrong := [value for value in values if not isinstance(value, str)]:
        raise ModelError(f"'{key}' must hold strings, got {type(wrong[0]).__name__}")

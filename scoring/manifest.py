"""model_spec.json (format 1), the manifest beside model.onnx: what a host must know of a model and
cannot read from the graph."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping, Sequence
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
GOLDENS = 20  # golden requests at most: every deployment sends them all, every host reads them
TOLERANCE = 1e-4  # of a golden answer's numbers: CPUs differ in the last digits of a float32 sum


@dataclass(frozen=True)
class Tensor:
    """One input or output of the graph: its numpy dtype, and a size or a name per dimension."""

    name: str
    dtype: str
    shape: tuple[int | str, ...]


@dataclass(frozen=True)
class Golden:
    """A request by which each deployment is checked, its answer as JSON data, and `others` like it.
    `name` is its file's ("": built in), `tolerance` how far off a number may be (in itself or as a
    share of it), `cpu` the kind that answered, of cpu.KINDS ("": not known)."""

    request: Request
    answer: Any
    name: str = ""
    tolerance: float = TOLERANCE
    cpu: str = ""
    others: tuple[Golden, ...] = ()

    @property
    def all(self) -> tuple[Golden, ...]:
        """This one and the others."""
        return (self, *self.others)

    @staticmethod
    def read(data: Mapping[str, Any]) -> Golden:
        """From model_spec.json. Raises KeyError, TypeError, AttributeError or ValueError."""
        coded = data.get("body_base64")
        body = data["body"].encode("utf-8") if coded is None else base64.b64decode(coded)
        request = Request(body, data.get("content_type", JSON))
        tolerance, cpu = float(data.get("tolerance", TOLERANCE)), str(data.get("cpu", ""))
        others = tuple(map(Golden.read, data.get("others", ())))
        if len(others) >= GOLDENS:
            raise ValueError(f"{1 + len(others)} golden requests; at most {GOLDENS} are allowed")
        return Golden(request, data["answer"], str(data.get("name", "")), tolerance, cpu, others)

    def to_json(self) -> dict[str, Any]:
        """The body as text where it is UTF-8, else in base64."""
        try:
            body = {"body": self.request.body.decode("utf-8")}
        except UnicodeDecodeError:
            body = {"body_base64": base64.b64encode(self.request.body).decode("ascii")}
        what = {"name": self.name, "content_type": self.request.content_type, **body}
        checked = {"answer": self.answer, "tolerance": self.tolerance, "cpu": self.cpu}
        others = {"others": [other.to_json() for other in self.others]} if self.others else {}
        return {**what, **checked, **others}


@dataclass(frozen=True)
class ModelSpec:
    """What model_spec.json holds."""

    name: str
    task: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # by task
    labels: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...] = ()
    outputs: tuple[Tensor, ...] = ()
    limits: Limits = field(default_factory=Limits)
    engine: EngineOptions = field(default_factory=EngineOptions)
    golden: Golden | None = None
    precision: str = "fp32"
    cpu: str | None = None  # one of cpu.KINDS; None: any
    opset: int | None = None
    ir_version: int | None = None
    files: Mapping[str, str] = field(default_factory=dict)  # the sha256 of each that a host needs
    provenance: Mapping[str, Any] = field(default_factory=dict)  # no answer depends on it

    @staticmethod
    def read(model_dir: Path) -> ModelSpec:
        """The spec of a model directory. Raises ModelError when it is absent, or as `parse`."""
        path = model_dir / SPEC_FILE
        try:
            text = path.read_bytes()
        except FileNotFoundError as e:
            holds = f"a model directory holds {MODEL_FILE}, {SPEC_FILE}"
            advice = f"Make one with: onnxferry prepare MODEL --out {model_dir}"
            what = f"{holds} and, for text, {TOKENIZER_FILE}. {advice}"
            raise ModelError(f"{path}: no {SPEC_FILE}; {what}") from e
        except OSError as e:
            raise ModelError(f"{path}: not readable as JSON ({e})") from e
        return ModelSpec.parse(text, str(path))

    @staticmethod
    def parse(text: str | bytes, where: str) -> ModelSpec:
        """The spec in the text of a model_spec.json. Raises ModelError that names `where` and the
        key."""
        try:
            return _parse(json.loads(text))
        except ModelError as e:
            raise ModelError(f"{where}: {e}") from e
        except ValueError as e:
            raise ModelError(f"{where}: not readable as JSON ({e})") from e

    def to_json(self) -> str:
        """The text of model_spec.json."""
        data = {"format": FORMAT, **asdict(self)}
        data["golden"] = self.golden.to_json() if self.golden else None
        return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


_Kinds = Mapping[str, tuple[type | UnionType, str]]
_OBJECT = (dict, "an object")
_KINDS: _Kinds = {
    **dict.fromkeys(("settings", "files", "provenance"), _OBJECT),
    **dict.fromkeys(("opset", "ir_version"), (int | None, "an integer")),
    "labels": (list | None, "a list of strings"),
    "precision": (str, "a string"),
    "cpu": (str | None, "a string"),
    **dict.fromkeys(("limits", "engine"), (dict | None, "an object")),
}
_RECORDS = ("source", "tools", "difference", "fusion", "data", "measured_on")
_PROVENANCE: _Kinds = {  # keys of `provenance`, which older specs hold at their top level
    **dict.fromkeys(_RECORDS, _OBJECT),
    "variants": (list | None, "a list of objects"),
}


def _parse(data: Any) -> ModelSpec:
    if not isinstance(data, dict):
        raise ModelError(f"expected a JSON object, got {type(data).__name__}")
    if data.get("format") != FORMAT:
        raise ModelError(f"'format' is {data.get('format')!r}; this version reads format {FORMAT}")
    known = {f.name for f in fields(ModelSpec)}
    if unknown := ", ".join(sorted(set(data) - known - {"format", *_PROVENANCE})):
        raise ModelError(f"unknown key(s) {unknown}; known: {', '.join(sorted(known))}")
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
    except ValueError as e:  # names the key
        raise ModelError(str(e)) from e
    except (AttributeError, TypeError, KeyError) as e:
        keys = "labels, inputs, outputs, limits, engine or golden"
        raise ModelError(f"malformed {keys} ({e!r})") from e


def _tensors(values: Sequence[Mapping[str, Any]] | None) -> tuple[Tensor, ...]:
    return tuple(Tensor(t["name"], t["dtype"], tuple(t["shape"])) for t in values or ())


def _objects(values: Mapping[str, Any]) -> dict[str, Any]:
    """What is not kept as the JSON data that it comes as."""
    return {
        "inputs": _tensors(values.get("inputs")),
        "outputs": _tensors(values.get("outputs")),
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

"""Requests and golden answers as MLflow's scoring server has them, whose wire is not ours: items
are rows of a table, `parameters` are `params`, and answers come as records.

    {"inputs": {"question": ..., "context": ...}, "parameters": {"top_k": 2}}
    {"dataframe_split": {"columns": ["question", "context"], "data": [[...]]}, "params": {...}}
    {"predictions": [{"answer": ..., "score": ..., "start": ..., "end": ..., "answers": [...]}]}
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from onnxferry.scoring import codecs
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.errors import InvalidType, ScoringError
from onnxferry.scoring.manifest import Golden, ModelSpec
from onnxferry.scoring.rows import Column, Columns, Kind, columns
from onnxferry.scoring.validation import kind
from onnxferry.scoring.wire import JSON, Request
from onnxferry.scripts.request_forms import Asked, asked
from onnxferry.system.errors import UsageError

FORMS = ("dataframe_split", "dataframe_records", "instances")  # of MLflow's; `inputs` is ours
_TOLD = "ask another target, or leave it out"


def mlflow_request(spec: ModelSpec, request: Request) -> Request:
    """`request` in MLflow's form: one in that form already, or one that is none of the task's, as
    it came, for the server to answer. Raises UsageError for what that form cannot hold."""
    try:
        body = _payload(spec, request)
        if isinstance(body, dict) and any(form in body for form in FORMS):
            return request
        found = asked(spec, body)
        table = _table(columns(spec), found)
    except ScoringError:
        return request
    params = _parameters(spec, found.parameters)
    frame = {
        "columns": list(table),
        "data": [list(row) for row in zip(*table.values(), strict=True)],
    }
    sent = {"dataframe_split": frame, **({"params": params} if params else {})}
    return replace(request, body=encode_json(sent), content_type=JSON, content_encoding="")


def mlflow_golden(spec: ModelSpec, golden: Golden) -> Golden:
    """A golden request, and the others with it, in MLflow's form, and the answer as the records
    that MLflow gives. Raises UsageError, with its name, as `mlflow_request` and for one that is
    none of the task's."""
    others = tuple(mlflow_golden(spec, other) for other in golden.others)
    try:
        request = mlflow_request(spec, golden.request)
        records = _records(spec, golden)
    except (ScoringError, UsageError) as e:
        name = f"the golden request {golden.name}".rstrip()
        advice = "give another by --golden when you prepare the model"
        raise UsageError(f"{name} has no form in MLflow: {e}; {advice}") from e
    return replace(golden, request=request, answer={"predictions": records}, others=others)


def _records(spec: ModelSpec, golden: Golden) -> list[dict[str, Any]]:
    """The answer as JSON data, a record for each item."""
    found = asked(spec, _payload(spec, golden.request))
    known = columns(spec, _parameters(spec, found.parameters))
    table = known.table(known.answers(found.answers(golden.answer)))
    records = [dict(zip(table, row, strict=True)) for row in zip(*table.values(), strict=True)]
    plain: list[dict[str, Any]] = json.loads(encode_json(records))
    return plain


def _payload(spec: ModelSpec, request: Request) -> Any:
    """What the body holds, {"inputs": the Image} of a picture's bytes."""
    body = codecs.decompress(request.body, request.content_encoding, spec.limits.body_bytes)
    payload = codecs.decode(body, request.content_type, tuple(codecs.DECODERS))
    return {"inputs": payload} if isinstance(payload, codecs.Image) else payload


def _table(known: Columns, found: Asked) -> dict[str, list[Any]]:
    """The cells of the columns that the items have, as JSON data."""
    rows = [item if isinstance(item, dict) else _row(known, item) for item in found.items]
    read = {column.name: [_cell(column, row) for row in rows] for column in known.inputs}
    return {name: cells for name, cells in read.items() if any(c is not None for c in cells)}


def _row(known: Columns, item: Any) -> dict[str, Any]:
    """An item that is the one cell of its row."""
    needed = [column for column in known.inputs if column.required]
    if len(needed) != 1 or (isinstance(item, codecs.Image) and needed[0].kind != "binary"):
        raise InvalidType(f"an item must be an object, got {kind(item)}")
    return {needed[0].name: item}


def _cell(column: Column, row: Mapping[str, Any]) -> Any:
    name = next((name for name in (column.name, *column.aliases) if name in row), None)
    value = None if name is None else row[name]
    if isinstance(value, codecs.Image):
        return base64.b64encode(value.data).decode("ascii")
    if column.kind == ["string"] and value is not None:
        return [_text(one) for one in (value if isinstance(value, list) else [value])]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def _text(document: Any) -> Any:
    """A text, which Cohere's clients send as {"text"} too."""
    return document.get("text") if isinstance(document, dict) else document


def _parameters(spec: ModelSpec, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Those of a request by the names and kinds that the model's signature has."""
    known = columns(spec).parameters
    if unknown := ", ".join(repr(name[:40]) for name in sent if name not in known):
        listed = ", ".join(sorted(known)) or "none"
        raise UsageError(f"MLflow would pass over the parameter(s) {unknown}; known: {listed}")
    return {name: _value(known[name], name, value) for name, value in sent.items()}


def _value(of: Kind, name: str, value: Any) -> Any:
    """MLflow's params are of one kind each, and a list where the signature has one."""
    if isinstance(of, list):
        if isinstance(value, str) and name == "candidate_labels":
            return [label.strip() for label in value.split(",") if label.strip()]
        return value if isinstance(value, list) else [value]
    if isinstance(value, list | dict):
        what = f"MLflow takes one {of} for the parameter {name!r}, and the request has several"
        raise UsageError(f"{what}; {_TOLD}")
    return value

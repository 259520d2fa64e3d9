"""An example of each form of request but the pipelines', made of a model's golden request: it runs
as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from onnxferry.scoring import openapi
from onnxferry.scoring.manifest import Tensor
from onnxferry.scoring.openapi import schemas
from onnxferry.scoring.rows import Column
from onnxferry.targets.local.backend import Served
from onnxferry.targets.local.forms.inference import SCALARS
from onnxferry.targets.local.forms.tensor_wire import BYTES, DATATYPES, as_json


def of(model: Served, form: str) -> Any:
    """The example's JSON data; None where the golden request is no JSON, or there is none."""
    if form in _FIXED:
        return _FIXED[form]
    body = openapi.example(model.spec)
    if not isinstance(body, dict) or "inputs" not in body:
        return None
    return _MADE[form](model, body)


def _vertex(model: Served, body: dict[str, Any]) -> Any:
    if model.spec.task == "tensors":
        return None
    rest = {name: value for name, value in body.items() if name != "inputs"}
    return {"instances": _items(body), **rest}


def _items(body: Mapping[str, Any]) -> list[Any]:
    inputs = body["inputs"]
    return inputs if isinstance(inputs, list) else [inputs]


def _infer(model: Served, body: dict[str, Any]) -> Any:
    spec = model.spec
    if spec.task == "tensors":
        return {"inputs": [_array(t, body["inputs"][t.name]) for t in spec.inputs]}
    if (told := schemas.found(spec)) is None:
        return None
    first = told.inputs[0].name
    rows = [item if isinstance(item, dict) else {first: item} for item in _items(body)]
    inputs = [_column(c, [row[c.name] for row in rows]) for c in told.inputs if c.name in rows[0]]
    given = body.get("parameters") or {}
    parameters = {n: as_json(v) if isinstance(v, list) else v for n, v in given.items()}
    return {"inputs": inputs, **({"parameters": parameters} if parameters else {})}


def _array(tensor: Tensor, values: Any) -> dict[str, Any]:
    array = np.array(values)
    datatype = DATATYPES.get(tensor.dtype, BYTES)
    shape, data = list(array.shape), array.ravel().tolist()
    return {"name": tensor.name, "datatype": datatype, "shape": shape, "data": data}


def _column(column: Column, cells: Sequence[Any]) -> dict[str, Any]:
    """A list is a text of JSON."""
    scalar = isinstance(column.kind, str)
    data = list(cells) if scalar else [as_json(cell) for cell in cells]
    datatype = SCALARS[str(column.kind)][0] if scalar else BYTES
    return {"name": column.name, "datatype": datatype, "shape": [len(data)], "data": data}


_MADE: Mapping[str, Callable[[Served, dict[str, Any]], Any]] = {"v2": _infer, "vertex": _vertex}
_FIXED: Mapping[str, Any] = {
    "openai": {"input": ["Where does Dolly sing?", "A text of yours"], "encoding_format": "float"},
    "rerank": {"query": "Who sings?", "documents": ["Dolly sings.", "It was a good day."]},
}

"""The columns of task `tensors`: each array of the graph is one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec, Tensor
from onnxferry.scoring.rows.columns import Column, Columns, Kind, listed

_TENSOR_KINDS: dict[str, Kind] = {
    "b": "boolean",
    "i": "long",
    "u": "long",
    "f": "double",
    "U": "string",
}


def tensor_columns(spec: ModelSpec, parameters: Mapping[str, Any]) -> Columns:
    """Each array a column: of one row of the batch, where all have a batch of any size, else whole,
    with a request for each row."""
    if not (spec.inputs and spec.outputs):
        raise ModelError("model_spec.json lists no inputs and outputs; prepare the model again")
    alone = not all(t.shape and isinstance(t.shape[0], str) for t in (*spec.inputs, *spec.outputs))
    chosen = parameters.get("outputs") or [tensor.name for tensor in spec.outputs]
    known = {tensor.name: _array(tensor, alone) for tensor in spec.outputs}

    def payload(rows: Sequence[Any], parameters: Mapping[str, Any]) -> Any:
        names = [tensor.name for tensor in spec.inputs]
        arrays = rows[0] if alone else {name: [row.get(name) for row in rows] for name in names}
        return {"inputs": arrays, "parameters": parameters}

    def answers(answer: Any) -> list[Any]:
        names = list(answer)
        rows = zip(*answer.values(), strict=True)
        return [answer] if alone else [dict(zip(names, row, strict=True)) for row in rows]

    inputs = tuple(Column(t.name, _array(t, alone)) for t in spec.inputs)
    outputs = {name: known[name] for name in chosen if name in known}
    names: dict[str, Kind] = {"outputs": ["string"]}
    return Columns(inputs, outputs, names, listed, dict, payload, answers, alone)


def _array(tensor: Tensor, alone: bool) -> Kind:
    kind: Kind = _TENSOR_KINDS.get(np.dtype(tensor.dtype).kind, "string")
    for _ in tensor.shape if alone else tensor.shape[1:]:
        kind = [kind]
    return kind

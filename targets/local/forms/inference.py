"""The Open Inference Protocol's infer, of version 2: named tensors in, named tensors out.

Task `tensors` gets and gives the graph's own arrays. Any other is a table (see scoring/rows): each
column is a tensor of one row an item; what no tensor fits (answers in lists) is BYTES of JSON. A
tensor of the name of one of the task's parameters stands for it. What clients of MLServer's
Hugging Face runtime send, the texts as `array_inputs` or `args`, is answered as it does: one output
of JSON. A body without a list of tensors is DeepSparse's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from onnxferry.scoring import limits, timing, validation
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.errors import InvalidType, InvalidValue, MissingField, ScoringError
from onnxferry.scoring.rows import Column, Kind, RowScorer
from onnxferry.scoring.scorer import Scorer
from onnxferry.scoring.wire import HEAD_HEADER, Request, Response
from onnxferry.targets.local.forms import tensor_wire
from onnxferry.targets.local.forms.deepsparse import DeepSparseForm
from onnxferry.targets.local.forms.tensor_wire import BYTES, Named, Out, as_json, objects

VERSION = "1"  # each model has this one
OCTETS = "application/octet-stream"
HUGGING_FACE = ("array_inputs", "args")  # MLServer's names for a pipeline's texts
OUTPUT = "output"  # and for its answers
JSON_CONTENT = "hg_json"  # MLServer's content type of BYTES of JSON
_PROTOCOL = (  # parameters of a request that say nothing to a task
    "binary_data_output",
    "content_type",
    "headers",
    *(f"sequence_{name}" for name in ("id", "start", "end")),
    "priority",
    "timeout",
)
SCALARS: Mapping[str, tuple[str, str]] = {  # a Kind -> datatype, numpy's dtype
    "string": (BYTES, "object"),
    "binary": (BYTES, "object"),
    "double": ("FP64", "float64"),
    "float": ("FP32", "float32"),
    "long": ("INT64", "int64"),
    "boolean": ("BOOL", "bool"),
}


class InferenceForm:
    """A Form. `model`: the name that the server has for it; `endpoint`: see DeepSparseForm."""

    def __init__(self, model: str = "", endpoint: Mapping[str, Any] | None = None) -> None:
        self._model, self._deepsparse = model, DeepSparseForm(endpoint)

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """See Form."""
        data, binary = tensor_wire.split(scorer.body(request), request.head_length)
        body = validation.mapping(data, "the body")
        if not _tensors(body) and self._deepsparse.knows(scorer, body):
            return self._deepsparse.reply(scorer, body)
        head = {"model_name": self._model or scorer.spec.name, "model_version": VERSION}
        if "id" in body:
            head["id"] = validation.string(body["id"], "id")
        inputs = tensor_wire.read(validation.member(body, "inputs"), binary)
        parameters = validation.mapping(body.get("parameters") or {}, "'parameters'")
        wanted = _Wanted(body.get("outputs"), parameters)
        timing.switch("preprocess")
        given = {name: value for name, value in parameters.items() if name not in _PROTOCOL}
        score = _arrays if scorer.spec.task == "tensors" else _rows
        outputs = score(scorer, inputs, given, wanted)
        timing.switch("encode")
        written, length = tensor_wire.write(head, outputs)
        if length is None:
            return Response(200, written, JSON)
        return Response(200, written, OCTETS, {HEAD_HEADER: str(length)})

    def refusal(self, error: ScoringError) -> Any:
        """{"error": message}."""
        return {"error": str(error)}


def _tensors(body: Mapping[str, Any]) -> bool:
    inputs = body.get("inputs")
    return isinstance(inputs, list) and bool(inputs) and isinstance(inputs[0], dict)


class _Wanted:
    """The outputs that a request asks for (none: all), and which of them in binary."""

    def __init__(self, outputs: Any, parameters: Mapping[str, Any]) -> None:
        self._all = parameters.get("binary_data_output") is True
        if outputs is not None and not isinstance(outputs, list):
            raise InvalidType(f"'outputs' must be a list, got {validation.kind(outputs)}")
        self._binary: dict[str, bool] = {}
        for i, entry in enumerate(outputs or ()):
            output = validation.mapping(entry, f"'outputs[{i}]'")
            where = f"outputs[{i}]."
            name = validation.string(validation.member(output, "name", where), f"{where}name")
            told = validation.mapping(output.get("parameters") or {}, f"'{where}parameters'")
            if told.get("classification"):
                raise InvalidValue(f"'{where}parameters.classification' is not answered here")
            self._binary[name] = bool(told.get("binary_data", self._all))

    def names(self, known: Sequence[str]) -> list[str]:
        """In the order of the request. Raises InvalidValue for one that is not `known`."""
        if unknown := [name for name in self._binary if name not in known]:
            raise InvalidValue(f"no output {unknown[0][:80]!r}; there are {', '.join(known)}")
        return list(self._binary) or list(known)

    def binary(self, name: str) -> bool:
        """Whether this output is sent in binary."""
        return self._binary.get(name, self._all)


def _arrays(
    scorer: Scorer, inputs: list[Named], given: Mapping[str, Any], wanted: _Wanted
) -> list[Out]:
    """The graph's outputs."""
    feeds = {tensor.name: _text(tensor) for tensor in inputs}
    names = wanted.names([t.name for t in scorer.spec.outputs] or list(wanted._binary))
    parameters = {**given, **({"outputs": names} if names else {})}
    answer = scorer.answer({"inputs": feeds, "parameters": parameters})
    return [_array(name, value, wanted.binary(name)) for name, value in answer.items()]


def _array(name: str, value: Any, binary: bool) -> Out:
    if isinstance(value, np.ndarray):
        plain = value.dtype.kind not in "OU"
        return Out(name, value if plain else value.astype(object), binary)
    return Out(name, objects([as_json(value)]), binary, JSON_CONTENT)  # a sequence or a map


def _rows(
    scorer: Scorer, inputs: list[Named], given: Mapping[str, Any], wanted: _Wanted
) -> list[Out]:
    """The task's answers, a row each."""
    plain = RowScorer(scorer).columns
    columns = {name: column for column in plain.inputs for name in (column.name, *column.aliases)}
    first = plain.inputs[0].name
    columns |= {name: columns[first] for name in HUGGING_FACE if name not in columns}
    table: dict[str, list[Any]] = {}
    parameters = {n: _parameter(n, v, plain.parameters) for n, v in given.items()}
    as_there = False
    for tensor in inputs:
        if tensor.name in columns:
            as_there |= tensor.name in HUGGING_FACE
            column = columns[tensor.name]
            if column.name in table:
                raise InvalidValue(f"input {tensor.name!r} is {column.name!r}, which came twice")
            table[column.name] = _cells(tensor, column)
        elif tensor.name in plain.parameters:
            parameters[tensor.name] = _listed(tensor, plain.parameters[tensor.name])
        else:
            known = ", ".join([c.name for c in plain.inputs])
            also = ", ".join(plain.parameters) or "none"
            what = f"the task {scorer.spec.task} has no input {tensor.name[:80]!r}"
            raise InvalidValue(f"{what}; it takes {known}; parameters: {also}")
    _check(table, plain.inputs, scorer.spec.limits.items)
    rows = RowScorer(scorer, parameters)
    if as_there:
        return _as_mlserver(rows, table, wanted)
    scored = rows.score(table)
    kinds = rows.columns.outputs
    names = wanted.names(list(kinds))
    return [_column(name, scored[name], kinds[name], wanted.binary(name)) for name in names]


def _check(table: Mapping[str, list[Any]], inputs: Sequence[Column], limit: int) -> None:
    if missing := [c.name for c in inputs if c.required and c.name not in table]:
        came = ", ".join(table) or "none"
        raise MissingField(f"input {missing[0]!r} is missing; got input(s) {came}")
    sizes = {name: len(cells) for name, cells in table.items()}
    if len(set(sizes.values())) > 1:
        told = ", ".join(f"{name!r} has {size}" for name, size in sizes.items())
        raise InvalidValue(f"inputs differ in their first size: {told}")
    rows = next(iter(sizes.values()), 0)
    if not rows:
        raise InvalidValue(f"input {next(iter(table), '')!r} is empty; expected at least one item")
    if rows > limit:
        raise limits.exceeded(f"'inputs' have {rows} items", limit, "items")


def _as_mlserver(rows: RowScorer, table: Mapping[str, list[Any]], wanted: _Wanted) -> list[Out]:
    found = rows.answers(rows.columns.items(table))
    for i, answer in enumerate(found):
        if isinstance(answer, ScoringError):
            raise type(answer)(f"row {i}: {answer}")
    wanted.names([OUTPUT])
    values = objects([as_json(answer) for answer in found]).reshape(-1, 1)
    return [Out(OUTPUT, values, wanted.binary(OUTPUT), "hg_jsonlist")]


def _cells(tensor: Named, column: Column) -> list[Any]:
    """The cells of one column. A shape [n, 1] is [n] too, as some clients send it."""
    of, values, kind = f"input {tensor.name!r}", tensor.values, column.kind
    expected = _innermost(kind)
    if isinstance(expected, str) and (SCALARS[expected][0] == BYTES) != (tensor.datatype == BYTES):
        raise InvalidType(f"{of} must be {SCALARS[expected][0]}, got {tensor.datatype}")
    if values.ndim == 0:
        raise InvalidValue(f"{of} has no first size, the number of items")
    if isinstance(kind, list) and values.ndim == 1 and tensor.datatype == BYTES:
        return [tensor_wire.from_json(text, f"{of}[{i}]") for i, text in enumerate(_text(tensor))]
    if values.ndim == 2 and values.shape[1] == 1 and isinstance(kind, str):
        values = values[:, 0]
    if values.ndim != (depth := 1 + _depth(kind)):
        shape = list(tensor.values.shape)
        raise InvalidValue(f"{of} has shape {shape}; expected {depth} dimension(s), items first")
    reshaped = Named(tensor.name, tensor.datatype, values, tensor.binary)
    found: list[Any] = (values if kind == "binary" else _text(reshaped)).tolist()
    return found


def _text(tensor: Named) -> Any:
    """The values, where BYTES are texts. Raises InvalidValue for what is not UTF-8."""
    if tensor.datatype != BYTES or not tensor.binary:
        return tensor.values
    try:
        texts = [value.decode("utf-8") for value in tensor.values.ravel()]
    except UnicodeDecodeError as e:
        raise InvalidValue(f"input {tensor.name!r} holds BYTES that are not UTF-8 text") from e
    return objects(texts).reshape(tensor.values.shape)


def _listed(tensor: Named, kind: Kind) -> Any:
    """A parameter that came as a tensor."""
    values = _text(tensor).ravel().tolist()
    if isinstance(kind, list):
        return values
    if len(values) != 1:
        raise InvalidValue(f"input {tensor.name!r} must hold one value, got {len(values)}")
    return values[0]


def _parameter(name: str, value: Any, kinds: Mapping[str, Kind]) -> Any:
    """A parameter's value; a list may come as a text of JSON, since the protocol has no lists."""
    if isinstance(kinds.get(name), list) and isinstance(value, str) and value[:1] == "[":
        return tensor_wire.from_json(value, f"'parameters.{name}'")
    return value


def _depth(kind: Kind) -> int:
    return 1 + _depth(kind[0]) if isinstance(kind, list) else 0


def _innermost(kind: Kind) -> Kind:
    return _innermost(kind[0]) if isinstance(kind, list) else kind


def tensor_of(kind: Kind) -> tuple[str, list[int], bool]:
    """A column as a tensor: its datatype, its shape (-1: any size), whether it holds JSON."""
    scalar = kind[0] if isinstance(kind, list) else kind
    if isinstance(scalar, str):
        return SCALARS[scalar][0], [-1, *([-1] if isinstance(kind, list) else [])], False
    return BYTES, [-1], True


def _column(name: str, cells: list[Any], kind: Kind, binary: bool) -> Out:
    _, shape, is_json = tensor_of(kind)
    if is_json:
        return Out(name, objects([as_json(cell) for cell in cells]), binary, JSON_CONTENT)
    if len(shape) == 1:
        return Out(name, np.array(cells, SCALARS[str(kind)][1]), binary)
    if len(sizes := {len(cell) for cell in cells}) > 1:
        told = ", ".join(map(str, sorted(sizes)[:5]))
        raise InvalidValue(f"output {name!r} has rows of {told} values; ask for them one by one")
    dtype = SCALARS[str(_innermost(kind))][1]
    flat = [value for cell in cells for value in cell]
    return Out(name, np.array(flat, dtype).reshape(len(cells), sizes.pop()), binary)

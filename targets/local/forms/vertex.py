"""Vertex AI's predict: {"instances": [item, ...], "parameters": {...}} -> {"predictions": [...]},
where an item is one of `inputs`, or an object of its fields."""

from __future__ import annotations

from typing import Any

from onnxferry.scoring import codecs, timing, validation
from onnxferry.scoring.codecs import JSON
from onnxferry.scoring.errors import InvalidType, InvalidValue, ScoringError
from onnxferry.scoring.limits import exceeded
from onnxferry.scoring.rows import RowScorer
from onnxferry.scoring.scorer import Scorer
from onnxferry.scoring.wire import Request, Response


class VertexForm:
    """A Form."""

    def answer(self, scorer: Scorer, request: Request) -> Response:
        """See Form."""
        data = codecs.decode(scorer.body(request), request.content_type, (JSON,))
        body = validation.mapping(data, "the body")
        instances = validation.member(body, "instances")
        if not isinstance(instances, list):
            raise InvalidType(f"'instances' must be a list, got {validation.kind(instances)}")
        if not instances:
            raise InvalidValue("'instances' is an empty list; expected at least one item")
        if len(instances) > (limit := scorer.spec.limits.items):
            raise exceeded(f"'instances' has {len(instances)} items", limit, "items")
        given = body.get("parameters")
        parameters = validation.mapping({} if given is None else given, "'parameters'")
        timing.switch("preprocess")
        rows = RowScorer(scorer, parameters)
        answers = rows.answers([_item(rows, one, i) for i, one in enumerate(instances)])
        for i, answer in enumerate(answers):
            if isinstance(answer, ScoringError):
                raise type(answer)(f"'instances[{i}]': {answer}")
        timing.switch("encode")
        return Response(200, codecs.encode_json({"predictions": answers}), JSON)

    def refusal(self, error: ScoringError) -> Any:
        """{"error": message}, which Vertex AI passes on."""
        return {"error": str(error)}


def _item(rows: RowScorer, instance: Any, index: int) -> Any:
    """An object whose fields are columns is a row; pictures come as {"b64": text} too. What is no
    object is the only column's value, where that is not said already."""
    names = [column.name for column in rows.columns.inputs if column.required]
    if isinstance(instance, dict):
        if set(instance) == {"b64"}:
            return instance["b64"]
        if not set(names) <= set(instance):
            return rows.columns.item(instance) if len(names) > 1 else instance
        return rows.columns.items({name: [value] for name, value in instance.items()})[0]
    if len(names) > 1:
        fields, came = ", ".join(names), validation.kind(instance)
        raise InvalidType(f"'instances[{index}]' must be an object of {fields}, got {came}")
    return rows.columns.items({names[0]: [instance]})[0] if instance is not None else None

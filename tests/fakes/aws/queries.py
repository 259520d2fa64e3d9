"""AWS's query protocol by botocore's models: forms as data, and data as XML."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any
from xml.sax.saxutils import escape

from tests.fakes.aws.answers import Answer
from tests.fakes.aws.calls import Call, model


def asked(call: Call) -> dict[str, Any]:
    """The parameters of a form, as the service's model has them."""
    shape = model(call.service).operation_model(call.operation).input_shape
    data: dict[str, Any] = _read(shape, dict(call.parameters), "")
    return data


def _read(shape: Any, form: Mapping[str, str], prefix: str) -> Any:
    if shape.type_name == "structure":
        members = shape.members.items()
        found = {n: _read(s, form, f"{prefix}.{n}" if prefix else n) for n, s in members}
        return {name: value for name, value in found.items() if value is not None} or None
    if shape.type_name == "list":
        if form.get(prefix) == "":
            return []
        items: list[Any] = []
        while (one := _read(shape.member, form, f"{prefix}.member.{len(items) + 1}")) is not None:
            items.append(one)
        return items or None
    text = form.get(prefix)
    if text is not None and shape.type_name == "boolean":
        return text == "true"
    return int(text) if text is not None and shape.type_name == "integer" else text


def answered(call: Call, data: Mapping[str, Any]) -> Answer:
    """`data` as an answer to a call."""
    shape = model(call.service).operation_model(call.operation).output_shape
    inner = _write(shape, data) if shape else ""
    result = f"<{call.operation}Result>{inner}</{call.operation}Result>"
    wanted = model(call.service).metadata["xmlNamespace"] if shape else ""
    text = f'<{call.operation}Response xmlns="{wanted}">{result}</{call.operation}Response>'
    return Answer(200, text.encode(), {"Content-Type": "text/xml"})


def _write(shape: Any, data: Any) -> str:
    if shape.type_name == "structure":
        assert set(data) <= set(shape.members), set(data) - set(shape.members)
        pairs = ((name, _write(shape.members[name], value)) for name, value in data.items())
        return "".join(f"<{name}>{text}</{name}>" for name, text in pairs)
    if shape.type_name == "list":
        return "".join(f"<member>{_write(shape.member, one)}</member>" for one in data)
    if isinstance(data, datetime):
        return data.isoformat()
    return escape(str(data).lower() if isinstance(data, bool) else str(data))

"""model_spec.json from a text: what older versions wrote is read, what is unknown is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from onnxferry.scoring.errors import ModelError
from onnxferry.scoring.manifest import ModelSpec

HEAD = {"format": 1, "name": "n", "task": "tensors"}


def parse(**keys: Any) -> ModelSpec:
    return ModelSpec.parse(json.dumps(HEAD | keys), "s3://bucket/model_spec.json")


def test_a_spec_is_read_from_text_or_bytes() -> None:
    spec = ModelSpec("n", "tensors", provenance={"tools": {"onnx": "1.19"}})
    assert ModelSpec.parse(spec.to_json(), "here") == spec
    assert ModelSpec.parse(spec.to_json().encode(), "here") == spec


def test_what_older_specs_hold_at_their_top_level_goes_into_provenance() -> None:
    tools, data = {"onnx": "1.19"}, {"name": "squad"}
    assert parse(tools=tools, data=data).provenance == {"tools": tools, "data": data}
    assert parse(tools=tools, data=data) == parse(provenance={"tools": tools, "data": data})


@pytest.mark.parametrize(
    ("keys", "says"),
    [
        ({"extra": 1}, "unknown key.s. extra; known: cpu, engine, files, .*, provenance, "),
        ({"tools": []}, "'tools' must be an object, got list"),
        ({"provenance": {"variants": {}}}, "'variants' must be a list of objects, got dict"),
        ({"provenance": 1}, "'provenance' must be an object, got int"),
    ],
)
def test_an_error_names_the_place_and_the_key(keys: dict[str, Any], says: str) -> None:
    with pytest.raises(ModelError, match=r"^s3://bucket/model_spec.json: " + says):
        parse(**keys)


@pytest.mark.parametrize("text", ["{", b"\xff\xfe\xff"])
def test_what_is_no_json_is_refused(text: str | bytes) -> None:
    with pytest.raises(ModelError, match=r"^there: not readable as JSON"):
        ModelSpec.parse(text, "there")

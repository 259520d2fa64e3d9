"""The OpenAPI document of the Functions app, for every task."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis

from onnxferry import scoring
from onnxferry.scoring import openapi
from onnxferry.scoring.tasks import TASKS
from onnxferry.targets.functions.document import document
from tests.targets.local.routes.test_document import with_golden


@pytest.mark.parametrize("task", sorted(TASKS))
def test_it_is_a_document_whose_example_is_as_typed(tmp_path: Path, task: str) -> None:
    spec = scoring.load(with_golden(task, tmp_path)).spec
    told = document(spec, keyed=True)

    operations = [found.ok() for found in schemathesis.openapi.from_dict(told).get_all_operations()]
    assert {(o.method, o.path) for o in operations} == {
        ("post", "/api/score"),
        ("get", "/api/health"),
        ("get", "/api/ready"),
        *(
            (method, "/api/classify")
            for method in ("get", "post")
            if task == "image-classification"
        ),
    }
    body: Any = told["paths"]["/api/score"]["post"]["requestBody"]
    example = body["content"]["application/json"].get("example")
    assert example == openapi.example(spec)
    if example:
        jsonschema.validate(example, body["content"]["application/json"]["schema"])


def test_an_anonymous_app_asks_for_no_key(tmp_path: Path) -> None:
    spec = scoring.load(with_golden("text-classification", tmp_path)).spec
    told = document(spec, keyed=False)
    assert "security" not in told
    assert "401" not in told["paths"]["/api/score"]["post"]["responses"]

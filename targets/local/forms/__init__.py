"""The forms of bodies that the server's routes speak, by name, each imported when it is used.

A name may have an argument, JSON data after a colon, as the path of a request or the configuration
gives it: scoring processes get no more than the name.
"""

from __future__ import annotations

import functools
import json
import pkgutil
from typing import Any

from onnxferry.scoring.forms import Form

_HERE = "onnxferry.targets.local.forms"
FORMS = {
    "pipeline": "onnxferry.scoring.forms:PipelineForm",
    "classify": "onnxferry.scoring.classify:ClassifyForm",
    "v2": f"{_HERE}.inference:InferenceForm",
    "openai": f"{_HERE}.openai:EmbeddingsForm",
    "vertex": f"{_HERE}.vertex:VertexForm",
    "deepsparse": f"{_HERE}.deepsparse:DeepSparseForm",
}
_BY_PATH = {"/v2/rerank": "pipeline", "/v1/rerank": "pipeline", "/v2": "v2", "/v1": "openai"}


@functools.lru_cache(1024)
def named(name: str) -> Form:
    """The form `name`: one of FORMS, with an argument or without."""
    kind, _, argument = name.partition(":")
    form: Form = pkgutil.resolve_name(FORMS[kind])(**json.loads(argument or "{}"))
    return form


def name(kind: str, **argument: Any) -> str:
    """The name of a form of FORMS with an argument."""
    return f"{kind}:{json.dumps(argument, sort_keys=True)}"


def of_path(path: str) -> str:
    """The name of the form in which an error on an unknown path, or before a form is known, is
    told."""
    found = (form for start, form in _BY_PATH.items() if f"{path}/".startswith(f"{start}/"))
    return next(found, "pipeline")

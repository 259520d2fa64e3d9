"""Requests and golden answers as Azure's own scoring script has them, which serves an MLflow model
that comes without code: a table as `input_data`, and the records alone as the answer.

    {"input_data": {"columns": ["text"], "index": [0], "data": [["good day"]]}, "params": {...}}
    [{"label": ..., "score": ...}]
"""

from __future__ import annotations

import json
from dataclasses import replace

from onnxferry.infra.mlflow.endpoints.specs import mlflow_golden_in, mlflow_request_for
from onnxferry.scoring.codecs import encode_json
from onnxferry.scoring.manifest import Golden
from onnxferry.scoring.wire import Request


def azureml_request_for(request: Request, manifest: bytes, where: str) -> Request:
    """`request` as the endpoint takes it whose model has this manifest. Raises NotFound and
    UsageError."""
    return _sent(mlflow_request_for(request, manifest, where))


def azureml_golden_in(text: bytes, where: str) -> Golden:
    """The golden requests in a manifest kept at `where`. Raises NotFound without one."""
    return _golden(mlflow_golden_in(text, where))


def _golden(golden: Golden) -> Golden:
    others = tuple(map(_golden, golden.others))
    answer = golden.answer["predictions"]
    return replace(golden, request=_sent(golden.request), answer=answer, others=others)


def _sent(request: Request) -> Request:
    """A request of MLflow's server; any other as it came, for the endpoint to answer."""
    try:
        body = json.loads(request.body)
        frame = body.pop("dataframe_split")
        index = list(range(len(frame["data"])))
    except (ValueError, KeyError, TypeError, AttributeError):
        return request
    table = {"columns": frame["columns"], "index": index, "data": frame["data"]}
    return replace(request, body=encode_json({"input_data": table, **body}))

"""The entry script of an AzureML online endpoint: init() once a worker, run() once a request.

`@rawhttp` hands over the bytes and takes status and headers back, so that errors keep their status;
a plain run() would have its answer JSON-encoded a second time. AzureML reports any status other
than 200 to its clients as 424 with the body untouched, unless the client asks the container
directly. The server answers with an X-Request-Id of its own where the client sent none: it is the
id in the log too.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
from flask import g

from onnxferry.scoring import Request, Scorer, load, log_requests

_scorer: Scorer | None = None


def init() -> None:
    """Load the model. AZUREML_MODEL_DIR is its folder or that folder's parent, by how the model was
    registered."""
    global _scorer
    log_requests()
    root = Path(os.environ["AZUREML_MODEL_DIR"])
    _scorer = load(next((p.parent for p in sorted(root.rglob("model_spec.json"))), root))


@rawhttp
def run(request: AMLRequest) -> AMLResponse:
    """Score one request."""
    if _scorer is None:
        raise RuntimeError("run() was called before init()")
    parsed = Request.of(request.get_data(), request.headers)
    response = _scorer.handle(replace(parsed, id=parsed.id or g.request_id))
    return AMLResponse(
        response.body, response.status, {**response.headers, "Content-Type": response.content_type}
    )

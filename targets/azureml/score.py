"""The entry script of an AzureML online endpoint: init() once a worker, run() once a request.

`@rawhttp` hands over the bytes and takes status and headers back; a plain run() would have its
answer JSON-encoded a second time. To its clients AzureML reports any status other than 200 as 424
with the body untouched. Where a client sent no id, the X-Request-Id of the server is the log's too.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse
from flask import g

# the server puts this folder last: libraries beside this file must come before the image's own
sys.path.insert(0, str(Path(__file__).parent))

from onnxferry.scoring import Request, Scorer, load, log_requests

_scorer: Scorer | None = None


def init() -> None:
    """Load the model from AZUREML_MODEL_DIR or, by how it was registered, a folder within."""
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

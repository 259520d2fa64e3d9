"""The entry script of an AzureML online endpoint: init() once a worker, run() once a request.

`@rawhttp` hands over the bytes and takes status and content type back, so that errors keep their status; a plain run()
would have its answer JSON-encoded a second time. AzureML reports any status other than 200 to its clients as 424 with
the body untouched, unless the client asks the container directly.
"""

from __future__ import annotations

import os
from pathlib import Path

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

from scoring import JSON, Request, Scorer, load

_scorer: Scorer | None = None


def init() -> None:
    """Load the model. AZUREML_MODEL_DIR is its folder or that folder's parent, by how the model was registered."""
    global _scorer
    root = Path(os.environ["AZUREML_MODEL_DIR"])
    _scorer = load(next((p.parent for p in sorted(root.rglob("model_spec.json"))), root))


@rawhttp
def run(request: AMLRequest) -> AMLResponse:
    """Score one request."""
    if _scorer is None:
        raise RuntimeError("run() was called before init()")
    headers = request.headers
    response = _scorer.handle(
        Request(request.get_data(), headers.get("Content-Type") or JSON, headers.get("Accept") or JSON)
    )
    return AMLResponse(response.body, response.status, {"Content-Type": response.content_type})

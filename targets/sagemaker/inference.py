"""The entry file of SageMaker's Hugging Face container: model_fn() once a worker, transform_fn()
once a request.

What the container forces: a body of exactly `application/json` or `text/csv` is decoded as UTF-8
first, and refused (400, the container's own body) where it is compressed or in another charset,
unless its content type goes on, as in `application/json; charset=utf-8`. The answer's content type
is the request's Accept, even over an error, whose body is JSON. A form (multipart/form-data) comes
without a body: send a picture's bytes, or base64 in JSON.

In Batch Transform, which SageMaker tells by the variable SAGEMAKER_BATCH, one refused request would
cost a file all its answers: there each row is answered, or has its error, in its place.

What the platform forces: of a client's headers it passes on the content type, Accept, InferenceId
and CustomAttributes, and of the answer's the content type and CustomAttributes. So the request's id
is one of these or the model server's own, and goes back in the CustomAttributes.
"""

from __future__ import annotations

import os
from dataclasses import replace
from http import HTTPStatus
from typing import Any

from onnxferry.scoring import JSON, Request, Scorer, cpu, load, log_requests
from onnxferry.scoring.forms import PIPELINE
from onnxferry.scoring.rows.batch_form import BATCH

ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"


def model_fn(model_dir: str, context: Any = None) -> Scorer:
    """Load the model from the root of the unpacked model.tar.gz."""
    log_requests()
    # the model server starts so many processes; one a CPU, where it is not told
    workers = os.environ.get("SAGEMAKER_MODEL_SERVER_WORKERS") or str(cpu.available())
    return load(model_dir, {"ONNXFERRY_ENGINE_PROCESSES": workers, **os.environ})


def transform_fn(
    scorer: Scorer,
    body: str | bytes | bytearray | None,
    content_type: str | None,
    accept: str,
    context: Any = None,
) -> bytes:
    """Score one request. The status is set in the context: raising would make each a 400."""
    raw = body.encode("utf-8") if isinstance(body, str) else bytes(body or b"")
    headers = context.get_all_request_header(0) if context is not None else {}
    # the parts of a form have headers of their own, as objects
    texts = {name: value for name, value in headers.items() if isinstance(value, str)}
    own = {"content-type": content_type or JSON, "accept": accept or JSON}
    request = Request.of(raw, {**texts, **own})
    if context is not None:
        request = replace(request, id=request.id or context.get_request_id(0))
    response = scorer.handle(request, BATCH if os.environ.get("SAGEMAKER_BATCH") else PIPELINE)
    if context is not None:
        attributes = {ATTRIBUTES: response.headers["X-Request-Id"]}
        for name, value in {**response.headers, **attributes}.items():
            context.set_response_header(0, name, value)
        context.set_response_status(response.status, HTTPStatus(response.status).phrase, 0)
    return response.body

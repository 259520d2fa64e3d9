"""The entry file of SageMaker's Hugging Face container: model_fn() once a worker, transform_fn() once a request.

What the container forces: a JSON or CSV body is decoded before it comes here, so bytes that are not UTF-8 are refused
by the container itself (400, its own body); the answer's content type is always the request's Accept, even over an
error, whose body is JSON; without an Accept, or with */*, it is JSON.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from scoring import JSON, Request, Scorer, load


def model_fn(model_dir: str, context: Any = None) -> Scorer:
    """Load the model from the root of the unpacked model.tar.gz."""
    return load(model_dir)


def transform_fn(
    scorer: Scorer, body: str | bytes | bytearray | None, content_type: str | None, accept: str, context: Any = None
) -> bytes:
    """Score one request. An error's status goes through the context, since raising would turn each into a 400."""
    raw = body.encode("utf-8") if isinstance(body, str) else bytes(body or b"")
    response = scorer.handle(Request(raw, content_type or JSON, accept or JSON))
    if response.status != 200 and context is not None:
        context.set_response_status(response.status, HTTPStatus(response.status).phrase, 0)
    return response.body

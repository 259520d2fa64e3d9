"""What a model takes and answers as parts of an OpenAPI document, for every host that has one."""

from __future__ import annotations

from onnxferry.scoring.openapi.operations import (
    OCTETS,
    STATUSES,
    classify,
    content,
    errors,
    example,
    media,
    refusals,
    score,
)

__all__ = [
    "OCTETS",
    "STATUSES",
    "classify",
    "content",
    "errors",
    "example",
    "media",
    "refusals",
    "score",
]
